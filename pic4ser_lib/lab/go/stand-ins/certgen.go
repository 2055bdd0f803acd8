package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"flag"
	"fmt"
	"log"
	"math/big"
	"strings"
	"time"

	admission "k8s.io/api/admissionregistration/v1"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
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
	config, err := rest.InClusterConfig()
	if err != nil {
		return err
	}
	client := kubernetes.NewForConfigOrDie(config)
	secrets := client.CoreV1().Secrets(*namespace)
	ctx := context.Background()
	there, err := secrets.Get(ctx, *secret, meta.GetOptions{})
	if errors.IsNotFound(err) && arguments[0] == "create" {
		made, wrong := certificate(strings.Split(*host, ","))
		if wrong != nil {
			return wrong
		}
		data := map[string][]byte{key("ca-name"): made.authority, key("cert-name"): made.certificate, key("key-name"): made.key}
		_, err = secrets.Create(ctx, &core.Secret{ObjectMeta: meta.ObjectMeta{Name: *secret}, Data: data}, meta.CreateOptions{})
		log.Printf("secret %s/%s for %s", *namespace, *secret, *host)
		return err
	}
	if err != nil || arguments[0] == "create" {
		return err
	}
	authority := there.Data[key("ca-name")]
	if *mutating {
		err = patchMutating(ctx, client, *webhook, authority, *policy)
	}
	if err == nil && *validating {
		err = patchValidating(ctx, client, *webhook, authority, *policy)
	}
	return err
}

func patchMutating(ctx context.Context, client kubernetes.Interface, name string, authority []byte, policy string) error {
	configurations := client.AdmissionregistrationV1().MutatingWebhookConfigurations()
	found, err := configurations.Get(ctx, name, meta.GetOptions{})
	if err != nil {
		return err
	}
	for i := range found.Webhooks {
		one := &found.Webhooks[i]
		one.ClientConfig.CABundle = authority
		one.FailurePolicy = chosen(policy, one.FailurePolicy)
	}
	_, err = configurations.Update(ctx, found, meta.UpdateOptions{})
	return err
}

func patchValidating(ctx context.Context, client kubernetes.Interface, name string, authority []byte, policy string) error {
	configurations := client.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	found, err := configurations.Get(ctx, name, meta.GetOptions{})
	if err != nil {
		return err
	}
	for i := range found.Webhooks {
		one := &found.Webhooks[i]
		one.ClientConfig.CABundle = authority
		one.FailurePolicy = chosen(policy, one.FailurePolicy)
	}
	_, err = configurations.Update(ctx, found, meta.UpdateOptions{})
	return err
}

func chosen(policy string, otherwise *admission.FailurePolicyType) *admission.FailurePolicyType {
	if policy == "" {
		return otherwise
	}
	asked := admission.FailurePolicyType(policy)
	return &asked
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
