// Runs a command as `witness run` does with its attestor "link", which is exported as a Statement of its own.
//
//	go run ./run KEY STEP FOLDER LINK COLLECTION COMMAND...
//
// KEY is a private key in PEM, FOLDER where the command works. LINK and COLLECTION get the envelopes. Prints the id that
// the key has there.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	witness "github.com/in-toto/go-witness"
	"github.com/in-toto/go-witness/attestation"
	"github.com/in-toto/go-witness/attestation/commandrun"
	"github.com/in-toto/go-witness/attestation/link"
	"github.com/in-toto/go-witness/attestation/material"
	"github.com/in-toto/go-witness/attestation/product"
	"github.com/in-toto/go-witness/cryptoutil"
)

func main() {
	if err := run(os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5], os.Args[6:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(key, step, folder, linkFile, collectionFile string, command []string) error {
	file, err := os.Open(key)
	if err != nil {
		return err
	}
	defer file.Close()
	signer, err := cryptoutil.NewSignerFromReader(file)
	if err != nil {
		return err
	}
	exported := link.New()
	link.WithExport(true)(exported)
	attestors := []attestation.Attestor{
		material.New(),
		commandrun.New(commandrun.WithCommand(command), commandrun.WithSilent(true)),
		product.New(),
		exported,
	}
	results, err := witness.RunWithExports(step,
		witness.RunWithSigners(signer),
		witness.RunWithAttestors(attestors),
		witness.RunWithAttestationOpts(attestation.WithWorkingDir(folder)),
	)
	if err != nil {
		return err
	}
	for _, result := range results {
		out := collectionFile
		if result.AttestorName == link.Name {
			out = linkFile
		}
		envelope, err := json.Marshal(&result.SignedEnvelope)
		if err != nil {
			return err
		}
		if err := os.WriteFile(out, envelope, 0o644); err != nil {
			return err
		}
	}
	keyid, err := signer.KeyID()
	fmt.Println(keyid)
	return err
}
