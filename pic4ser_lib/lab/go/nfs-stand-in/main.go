// The rehearsal lab's stand-ins for an NFS server and for mount.nfs, for kernels that have neither. The server answers
// the questions of NFS's neighbours (is it there, what does it export, may I) with real remote procedure calls; the
// client asks them, and then binds a folder that all nodes of the lab share. No data travels as NFS.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const (
	shared    = "/srv/pic4ser-nfs"
	nfsPort   = 2049
	mapPort   = 111
	portMap   = 100000
	nfs       = 100003
	mountd    = 100005
	mountFail = 32 // what mount(8) calls a failed mount
)

func main() {
	name := filepath.Base(os.Args[0])
	var err error
	switch {
	case strings.HasPrefix(name, "mount.nfs"):
		err = mount(os.Args[1:])
	case strings.HasPrefix(name, "umount.nfs"):
		err = unmount(os.Args[1:])
	case len(os.Args) == 2 && os.Args[1] == "serve":
		err = serve()
	default:
		err = fmt.Errorf("called as mount.nfs, umount.nfs, or with the word serve")
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(mountFail)
	}
}
