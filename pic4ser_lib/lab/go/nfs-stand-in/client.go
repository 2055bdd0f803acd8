package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

const packagesOwn = "/usr/sbin/mount.nfs.distrib" // there once nfs-common is installed

// As mount(8) calls it: SERVER:PATH TARGET [-o OPTIONS] and single letters.
func mount(arguments []string) error {
	places, options := []string{}, []string{}
	for i := 0; i < len(arguments); i++ {
		switch argument := arguments[i]; {
		case argument == "-o" && i+1 < len(arguments):
			i++
			options = append(options, strings.Split(arguments[i], ",")...)
		case argument == "-r":
			options = append(options, "ro")
		case !strings.HasPrefix(argument, "-"):
			places = append(places, argument)
		}
	}
	if len(places) != 2 {
		return fmt.Errorf("usage: mount.nfs SERVER:PATH TARGET [-o OPTIONS]")
	}
	if _, err := os.Stat(packagesOwn); err != nil {
		return fmt.Errorf("the package nfs-common is not installed: without it there is no helper program that mounts NFS")
	}
	source, target := places[0], places[1]
	server, path, _ := strings.Cut(source, ":")
	if !strings.HasPrefix(path, "/") {
		return fmt.Errorf("the source %q is not SERVER:/PATH", source)
	}
	path = filepath.Clean(path)
	if err := ask(server, path, source, target); err != nil {
		return err
	}
	return bind(filepath.Join(shared, path), target, slices.Contains(options, "ro"))
}

func ask(server, path, source, target string) error {
	address := net.JoinHostPort(server, fmt.Sprint(nfsPort))
	reply, err := call(address, mountd, 3, 1, (&sentence{}).text(path).Bytes())
	var unknown *net.DNSError
	switch {
	case errors.As(err, &unknown):
		return fmt.Errorf("Failed to resolve server %s: Name or service not known", server)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("Connection refused for %s on %s", source, target)
	case err != nil:
		return fmt.Errorf("Connection timed out for %s on %s (%v)", source, target, err)
	}
	switch status := reply.number(); status {
	case allowed:
		return nil
	case denied:
		return fmt.Errorf("access denied by server while mounting %s", source)
	case noSuchEntry:
		return fmt.Errorf("mounting %s failed, reason given by server: No such file or directory", source)
	default:
		return fmt.Errorf("mounting %s failed, reason given by server: %d", source, status)
	}
}

func bind(folder, target string, readOnly bool) error {
	if sameFolder(folder, target) {
		return nil // the kubelet may ask again after a restart
	}
	if err := syscall.Mount(folder, target, "", syscall.MS_BIND, ""); err != nil {
		return fmt.Errorf("%s: %w", target, err)
	}
	if !readOnly {
		return nil
	}
	return syscall.Mount("", target, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, "")
}

func unmount(arguments []string) error {
	for _, argument := range arguments {
		if !strings.HasPrefix(argument, "-") {
			return syscall.Unmount(argument, 0)
		}
	}
	return fmt.Errorf("usage: umount.nfs TARGET")
}
