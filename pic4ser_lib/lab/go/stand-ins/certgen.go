package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"log"
	"math/big"
	"strings"
	"time"
)

const years = 10 * 365 * 24 * time.Hour

// create: a certificate for --host in a Secret (ca, cert, key), unless it is there. patch: its ca into the webhooks.
func webhookCertificate(arguments []string) error {
	if len(arguments) == 0 {
		return fmt.Errorf("create or patch?")
	}
	flags := flag.NewFlagSet("kube-webhook-certgen", flag.ContinueOnError)
	host := flags.String("host", "", "names of the service, with commas")
	namespace := flags.String("namespace", "", "the Secret's namespace")
	secret := flags.String("secret-name", "", "the Secret's name")
	webhook := flags.String("webhook-name", "", "the configurations' name")
	mutating := flags.Bool("patch-mutating", true, "")
	validating := flags.Bool("patch-validating", true, "")
	policy := flags.String("patch-failure-policy", "", "Fail or Ignore")
	for name, otherwise := range map[string]string{"ca-name": "ca", "cert-name": "cert", "key-name": "key", "log-level": "", "log-format": "", "kubeconfig": ""} {
		flags.String(name, otherwise, "")
	}
	if err := flags.Parse(arguments[1:]); err != nil {
		return err
	}
	key := func(name string) string { return flags.Lookup(name).Value.String() }
	api, err := inCluster()
	if err != nil {
		return err
	}
	secrets := named("api", "v1", "namespaces", *namespace, "secrets")
	var there struct{ Data map[string][]byte }
	err = api.get(secrets+named(*secret), &there)
	if errors.Is(err, errNotFound) && arguments[0] == "create" {
		made, wrong := certificate(strings.Split(*host, ","))
		if wrong != nil {
			return wrong
		}
		log.Printf("secret %s/%s for %s", *namespace, *secret, *host)
		data := map[string][]byte{key("ca-name"): made.authority, key("cert-name"): made.certificate, key("key-name"): made.key}
		return api.create(secrets, object{"apiVersion": "v1", "kind": "Secret", "metadata": object{"name": *secret}, "data": data})
	}
	if err != nil || arguments[0] == "create" {
		return err
	}
	for kind, wanted := range map[string]bool{"mutatingwebhookconfigurations": *mutating, "validatingwebhookconfigurations": *validating} {
		if wanted && err == nil {
			path := "/apis/admissionregistration.k8s.io/v1" + named(kind, *webhook)
			err = trust(api, path, there.Data[key("ca-name")], *policy)
		}
	}
	return err
}

// Every webhook of the configuration is reached by who has a certificate of this authority.
func trust(api *cluster, path string, authority []byte, policy string) error {
	var found object
	if err := api.get(path, &found); err != nil {
		return err
	}
	webhooks, _ := found["webhooks"].([]any)
	for _, one := range webhooks {
		webhook, _ := one.(object)
		config, _ := webhook["clientConfig"].(object)
		config["caBundle"] = authority
		if policy != "" {
			webhook["failurePolicy"] = policy
		}
	}
	return api.replace(path, found)
}

type issued struct{ authority, certificate, key []byte }

// An authority that signs this one certificate, and is forgotten.
func certificate(hosts []string) (issued, error) {
	authorityKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return issued{}, err
	}
	hostKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return issued{}, err
	}
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "pic4ser lab webhooks"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(years),
	}
	host := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: hosts[0]}, DNSNames: hosts,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		NotBefore: authority.NotBefore, NotAfter: authority.NotAfter,
	}
	signed, err := x509.CreateCertificate(rand.Reader, authority, authority, &authorityKey.PublicKey, authorityKey)
	if err != nil {
		return issued{}, err
	}
	signedHost, err := x509.CreateCertificate(rand.Reader, host, authority, &hostKey.PublicKey, authorityKey)
	if err != nil {
		return issued{}, err
	}
	private, err := x509.MarshalECPrivateKey(hostKey)
	if err != nil {
		return issued{}, err
	}
	return issued{block("CERTIFICATE", signed), block("CERTIFICATE", signedHost), block("EC PRIVATE KEY", private)}, nil
}

func block(kind string, content []byte) []byte {
	var text bytes.Buffer
	_ = pem.Encode(&text, &pem.Block{Type: kind, Bytes: content})
	return text.Bytes()
}
