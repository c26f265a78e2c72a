// Makes the attestation that `cosign attest --key` makes of an image, with the packages that it makes it with.
//
//	go run ./attest KEY NAME DIGEST PREDICATE OUT
//
// KEY is a private key in PEM, PREDICATE a file with the predicate of provenance 1. OUT gets the envelope.
package main

import (
	"bytes"
	"crypto"
	"encoding/json"
	"fmt"
	"os"

	"github.com/sigstore/cosign/v3/pkg/cosign/attestation"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/dsse"
)

// As in cosign's pkg/types.
const payloadType = "application/vnd.in-toto+json"

func main() {
	if err := run(os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(key, name, digest, predicate, out string) error {
	signer, err := signature.LoadSignerFromPEMFile(key, crypto.SHA256, cryptoutils.SkipPassword)
	if err != nil {
		return err
	}
	said, err := os.Open(predicate)
	if err != nil {
		return err
	}
	defer said.Close()
	statement, err := attestation.GenerateStatement(attestation.GenerateOpts{
		Predicate: said,
		Type:      "slsaprovenance1",
		Digest:    digest,
		Repo:      name,
	})
	if err != nil {
		return err
	}
	payload, err := json.Marshal(statement)
	if err != nil {
		return err
	}
	envelope, err := dsse.WrapSigner(signer, payloadType).SignMessage(bytes.NewReader(payload))
	if err != nil {
		return err
	}
	return os.WriteFile(out, envelope, 0o644)
}
