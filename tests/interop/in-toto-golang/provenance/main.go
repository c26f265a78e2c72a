// Makes SLSA provenance with in-toto-golang and signs it.
//
//	go run ./provenance KEY NAME DIGEST 0.2|1 OUT
//
// KEY is a private key in PEM. OUT gets the envelope. Prints the id that the key has there.
package main

import (
	"fmt"
	"os"
	"time"

	intoto "github.com/in-toto/in-toto-golang/in_toto"
	"github.com/in-toto/in-toto-golang/in_toto/slsa_provenance/common"
	v02 "github.com/in-toto/in-toto-golang/in_toto/slsa_provenance/v0.2"
	v1 "github.com/in-toto/in-toto-golang/in_toto/slsa_provenance/v1"
)

const source = "git+https://git.example/team/app@refs/tags/v1.4"

var commit = common.DigestSet{"sha1": "c27d339ee6075c1f744c5d4b200f7901aad2c369"}

func main() {
	if err := run(os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func statement(name, digest, version string) any {
	subjects := []intoto.Subject{{Name: name, Digest: common.DigestSet{"sha256": digest}}}
	header := intoto.StatementHeader{Type: intoto.StatementInTotoV01, Subject: subjects}
	now := time.Now()
	if version == "0.2" {
		header.PredicateType = v02.PredicateSLSAProvenance
		return intoto.ProvenanceStatementSLSA02{StatementHeader: header, Predicate: v02.ProvenancePredicate{
			Builder:   common.ProvenanceBuilder{ID: "https://ci.example/runner"},
			BuildType: "https://ci.example/v1",
			Metadata:  &v02.ProvenanceMetadata{BuildStartedOn: &now},
			Materials: []common.ProvenanceMaterial{{URI: source, Digest: commit}},
		}}
	}
	header.PredicateType = v1.PredicateSLSAProvenance
	return intoto.ProvenanceStatementSLSA1{StatementHeader: header, Predicate: v1.ProvenancePredicate{
		BuildDefinition: v1.ProvenanceBuildDefinition{
			BuildType:            "https://ci.example/v1",
			ExternalParameters:   map[string]string{"ref": "refs/tags/v1.4"},
			ResolvedDependencies: []v1.ResourceDescriptor{{URI: source, Digest: commit}},
		},
		RunDetails: v1.ProvenanceRunDetails{Builder: v1.Builder{ID: "https://ci.example/runner"}},
	}}
}

func run(file, name, digest, version, out string) error {
	key := intoto.Key{}
	if err := key.LoadKeyDefaults(file); err != nil {
		return err
	}
	envelope := &intoto.Envelope{}
	if err := envelope.SetPayload(statement(name, digest, version)); err != nil {
		return err
	}
	if err := envelope.Sign(key); err != nil {
		return err
	}
	fmt.Println(key.KeyID)
	return envelope.Dump(out)
}
