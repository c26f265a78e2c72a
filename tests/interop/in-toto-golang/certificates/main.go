// Makes supply chains whose functionary is known by a certificate (ITE-7) and has in-toto-golang judge them.
//
//	go run ./certificates FOLDER
//
// Makes a folder with layout, link and the owner's key for each, and prints a line with its name and "pass" or "fail".
package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/in-toto/in-toto-golang/in_toto"
)

func main() {
	for _, algorithm := range []string{"ed25519", "ecdsa", "rsa"} {
		for _, one := range cases {
			// What a certificate says does not depend on its key.
			if algorithm != "ed25519" && one.name != "good" {
				continue
			}
			name := algorithm + "-" + one.name
			fmt.Println(name, judge(filepath.Join(os.Args[1], name), algorithm, one))
		}
	}
}

type change struct {
	name        string
	constraint  func(*in_toto.CertificateConstraint)
	certificate func(*x509.Certificate)
}

var cases = []change{
	{"good", nil, nil},
	{"other-common-name", func(c *in_toto.CertificateConstraint) { c.CommonName = "Eve" }, nil},
	{"no-common-name", func(c *in_toto.CertificateConstraint) { c.CommonName = "" }, nil},
	{"any-common-name", func(c *in_toto.CertificateConstraint) { c.CommonName = "*" }, nil},
	{"null-dns-names", func(c *in_toto.CertificateConstraint) { c.DNSNames = nil }, nil},
	{"one-more-dns-name", func(c *in_toto.CertificateConstraint) { c.DNSNames = append(c.DNSNames, "c.example") }, nil},
	{"dns-name-wanted-twice", func(c *in_toto.CertificateConstraint) { c.DNSNames = append(c.DNSNames, "b.example") }, nil},
	{"dns-name-twice", nil, func(c *x509.Certificate) { c.DNSNames = append(c.DNSNames, "b.example") }},
	{"no-mail-address-wanted", func(c *in_toto.CertificateConstraint) { c.Emails = []string{} }, nil},
	{"no-mail-address", func(c *in_toto.CertificateConstraint) { c.Emails = []string{""} }, func(c *x509.Certificate) { c.EmailAddresses = nil }},
	{"one-organization-less", func(c *in_toto.CertificateConstraint) { c.Organizations = []string{"Acme"} }, nil},
	{"null-roots", func(c *in_toto.CertificateConstraint) { c.Roots = nil }, nil},
	{"uri-with-wildcard", func(c *in_toto.CertificateConstraint) { c.URIs = []string{"spiffe://acme.example/*"} }, nil},
	{"two-wildcards", func(c *in_toto.CertificateConstraint) { c.URIs = []string{"*", "*"} }, nil},
	{"for-code", nil, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning} }},
	{"for-servers", nil, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }},
	{"expired", nil, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-24 * time.Hour) }},
}

func judge(folder, algorithm string, one change) string {
	authority := func(name string) *x509.Certificate {
		return &x509.Certificate{
			Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		}
	}
	root := issue(authority("root"), newKey(algorithm), nil)
	between := issue(authority("between"), newKey(algorithm), root)
	certificate := &x509.Certificate{
		Subject:  pkix.Name{CommonName: "Bob", Organization: []string{"Acme", "Tools"}},
		DNSNames: []string{"b.example"}, EmailAddresses: []string{"bob@acme.example"},
		URIs: []*url.URL{must(url.Parse("spiffe://acme.example/build"))},
	}
	if one.certificate != nil {
		one.certificate(certificate)
	}
	holder := issue(certificate, newKey(algorithm), between)
	constraint := in_toto.CertificateConstraint{
		CommonName: "Bob", DNSNames: []string{"b.example"}, Emails: []string{"*"}, Organizations: []string{"Tools", "Acme"},
		Roots: []string{"*"}, URIs: []string{"spiffe://acme.example/build"},
	}
	if one.constraint != nil {
		one.constraint(&constraint)
	}

	ownerKey := newKey("ed25519")
	owner := signingKey(ownerKey)
	rootKey, betweenKey := loaded(root.pem), loaded(between.pem)
	layout := in_toto.Metablock{Signed: in_toto.Layout{
		Type: "layout", Expires: "2099-01-01T00:00:00Z", Keys: map[string]in_toto.Key{}, Inspect: []in_toto.Inspection{},
		RootCas:         map[string]in_toto.Key{rootKey.KeyID: rootKey},
		IntermediateCas: map[string]in_toto.Key{betweenKey.KeyID: betweenKey},
		Steps: []in_toto.Step{{
			Type: "step", PubKeys: []string{}, Threshold: 1, ExpectedCommand: []string{},
			CertificateConstraints: []in_toto.CertificateConstraint{constraint},
			SupplyChainItem: in_toto.SupplyChainItem{
				Name: "build", ExpectedMaterials: [][]string{}, ExpectedProducts: [][]string{{"CREATE", "app"}, {"DISALLOW", "*"}},
			},
		}},
	}}
	link := in_toto.Metablock{Signed: in_toto.Link{
		Type: "link", Name: "build", Materials: map[string]in_toto.HashObj{}, ByProducts: map[string]any{},
		Products: map[string]in_toto.HashObj{"app": {"sha256": strings.Repeat("a", 64)}},
		Command:  []string{}, Environment: map[string]any{},
	}}
	holderKey := signingKey(holder.private)
	holderKey.KeyVal.Certificate = holder.pem
	check(layout.Sign(owner))
	check(link.Sign(holderKey))
	check(os.MkdirAll(folder, 0o755))
	check(layout.Dump(filepath.Join(folder, "root.layout")))
	check(link.Dump(filepath.Join(folder, fmt.Sprintf("build.%.8s.link", holderKey.KeyID))))
	public := block("PUBLIC KEY", must(x509.MarshalPKIXPublicKey(ownerKey.Public())))
	check(os.WriteFile(filepath.Join(folder, "owner.pub"), []byte(public), 0o644))

	keys := map[string]in_toto.Key{owner.KeyID: owner}
	read := must(in_toto.LoadMetadata(filepath.Join(folder, "root.layout")))
	if _, err := in_toto.InTotoVerify(read, keys, folder, "", map[string]string{}, nil, false); err != nil {
		return "fail"
	}
	return "pass"
}

type holder struct {
	certificate *x509.Certificate
	pem         string
	private     crypto.Signer
}

// Signed by nobody else where there is no issuer.
func issue(certificate *x509.Certificate, private crypto.Signer, issuer *holder) *holder {
	certificate.SerialNumber = must(rand.Int(rand.Reader, big.NewInt(1<<62)))
	certificate.NotBefore = time.Now().Add(-48 * time.Hour)
	if certificate.NotAfter.IsZero() {
		certificate.NotAfter = time.Now().Add(24 * time.Hour)
	}
	parent, signer := certificate, private
	if issuer != nil {
		parent, signer = issuer.certificate, issuer.private
	}
	der := must(x509.CreateCertificate(rand.Reader, certificate, parent, private.Public(), signer))
	return &holder{must(x509.ParseCertificate(der)), block("CERTIFICATE", der), private}
}

func newKey(algorithm string) crypto.Signer {
	switch algorithm {
	case "rsa":
		return must(rsa.GenerateKey(rand.Reader, 2048))
	case "ecdsa":
		return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	default:
		_, private, err := ed25519.GenerateKey(rand.Reader)
		check(err)
		return private
	}
}

func signingKey(private crypto.Signer) in_toto.Key {
	return loaded(block("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(private))))
}

func loaded(text string) in_toto.Key {
	key := in_toto.Key{}
	check(key.LoadKeyReaderDefaults(strings.NewReader(text)))
	return key
}

func block(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
