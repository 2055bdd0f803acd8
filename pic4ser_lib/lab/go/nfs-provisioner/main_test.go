package main

import (
	"context"
	"testing"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestAPatternNamesFoldersByTheClaim(t *testing.T) {
	claim := &core.PersistentVolumeClaim{ObjectMeta: meta.ObjectMeta{Namespace: "a", Name: "b", Labels: map[string]string{"c.d": "e"}}}
	if seen := filled("${.PVC.namespace}/${.PVC.name}-${.PVC.labels.c.d}${.PVC.annotations.none}", claim); seen != "a/b-e" {
		t.Error(seen)
	}
}

func TestNothingOutsideTheExportIsEverDeleted(t *testing.T) {
	made := &nfsProvisioner{path: "/export/kubernetes"}
	for _, path := range []string{"/export/kubernetes", "/export", "/etc", "/export/kubernetes/../secret"} {
		volume := &core.PersistentVolume{}
		volume.Spec.NFS = &core.NFSVolumeSource{Path: path}
		if err := made.Delete(context.Background(), volume); err == nil {
			t.Errorf("%s would have been deleted", path)
		}
	}
}
