// The rehearsal lab's NFS provisioner, made of the library that upstream's is made of.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

const exportMount = "/persistentvolumes"

// A folder of the NFS export for every claim, named <namespace>-<claim>-<volume> and open to everybody, as upstream's.
// No leader election: upstream's locks an Endpoints object, and its chart allows nothing else; there is one replica.
func main() {
	config, err := rest.InClusterConfig()
	if err != nil {
		log.Fatal(err)
	}
	client := kubernetes.NewForConfigOrDie(config)
	ctx := context.Background()
	made := &nfsProvisioner{client: client, server: os.Getenv("NFS_SERVER"), path: os.Getenv("NFS_PATH")}
	controller.NewProvisionController(ctx, client, os.Getenv("PROVISIONER_NAME"), made, controller.LeaderElection(false)).Run(ctx)
}

type nfsProvisioner struct {
	client       kubernetes.Interface
	server, path string
}

func (p *nfsProvisioner) Provision(_ context.Context, asked controller.ProvisionOptions) (*core.PersistentVolume, controller.ProvisioningState, error) {
	if asked.PVC.Spec.Selector != nil {
		return nil, controller.ProvisioningFinished, fmt.Errorf("claims with a selector are not supported")
	}
	folder := strings.Join([]string{asked.PVC.Namespace, asked.PVC.Name, asked.PVName}, "-")
	if pattern := asked.StorageClass.Parameters["pathPattern"]; pattern != "" {
		folder = filled(pattern, asked.PVC)
	}
	inside := filepath.Join(exportMount, folder)
	if err := os.MkdirAll(inside, 0o777); err != nil {
		return nil, controller.ProvisioningFinished, fmt.Errorf("unable to create directory to provision new pv: %w", err)
	}
	if err := os.Chmod(inside, 0o777); err != nil { // whatever the umask took
		return nil, "", err
	}
	log.Printf("made %s", folder)
	return &core.PersistentVolume{
		ObjectMeta: meta.ObjectMeta{Name: asked.PVName},
		Spec: core.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: *asked.StorageClass.ReclaimPolicy,
			AccessModes:                   asked.PVC.Spec.AccessModes,
			MountOptions:                  asked.StorageClass.MountOptions,
			Capacity:                      core.ResourceList{core.ResourceStorage: asked.PVC.Spec.Resources.Requests[core.ResourceStorage]},
			PersistentVolumeSource: core.PersistentVolumeSource{
				NFS: &core.NFSVolumeSource{Server: p.server, Path: filepath.Join(p.path, folder)},
			},
		},
	}, controller.ProvisioningFinished, nil
}

// onDelete decides (delete, retain); without it archiveOnDelete does: archived under another name, or deleted.
func (p *nfsProvisioner) Delete(ctx context.Context, volume *core.PersistentVolume) error {
	relative, err := filepath.Rel(p.path, volume.Spec.NFS.Path)
	if err != nil || relative == "." || strings.HasPrefix(relative, "..") {
		return fmt.Errorf("%s is not below the export %s", volume.Spec.NFS.Path, p.path)
	}
	inside := filepath.Join(exportMount, relative)
	if _, err := os.Stat(inside); os.IsNotExist(err) {
		log.Printf("%s is gone already", relative)
		return nil
	}
	class, err := p.client.StorageV1().StorageClasses().Get(ctx, volume.Spec.StorageClassName, meta.GetOptions{})
	if err != nil {
		return err
	}
	switch fate := class.Parameters; {
	case fate["onDelete"] == "delete":
		return os.RemoveAll(inside)
	case fate["onDelete"] == "retain":
		return nil
	case fate["onDelete"] == "" && fate["archiveOnDelete"] == "false":
		return os.RemoveAll(inside)
	default:
		archived := filepath.Join(exportMount, "archived-"+filepath.Base(relative))
		log.Printf("archived %s", relative)
		return os.Rename(inside, archived)
	}
}

var placeholder = regexp.MustCompile(`\$\{\.PVC\.(namespace|name|labels\.[^}]+|annotations\.[^}]+)\}`)

func filled(pattern string, claim *core.PersistentVolumeClaim) string {
	return placeholder.ReplaceAllStringFunc(pattern, func(found string) string {
		what, key, _ := strings.Cut(placeholder.FindStringSubmatch(found)[1], ".")
		switch what {
		case "namespace":
			return claim.Namespace
		case "labels":
			return claim.Labels[key]
		case "annotations":
			return claim.Annotations[key]
		}
		return claim.Name
	})
}
