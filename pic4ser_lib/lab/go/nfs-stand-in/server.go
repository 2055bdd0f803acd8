package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const (
	allowed, noSuchEntry, denied               = 0, 2, 13   // answers of MNT
	success, noProgram, noVersion, noProcedure = 0, 1, 2, 3 // answers to any call
)

type export struct {
	path    string
	clients []string
}

func serve() error {
	for _, one := range exports() {
		if err := provide(one.path); err != nil {
			return fmt.Errorf("%s: %w", one.path, err)
		}
	}
	listener, err := net.Listen("tcp4", fmt.Sprintf(":%d", nfsPort))
	if err != nil {
		return err
	}
	if mapper, err := net.Listen("tcp4", fmt.Sprintf(":%d", mapPort)); err == nil { // a real port mapper may have it
		go answerAll(mapper)
	}
	if mapper, err := net.ListenPacket("udp4", fmt.Sprintf(":%d", mapPort)); err == nil {
		go answerPackets(mapper)
	}
	return answerAll(listener)
}

// The exported folder is a place in the shared tree.
func provide(path string) error {
	inside := filepath.Join(shared, path)
	for _, folder := range []string{inside, path} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
	}
	if sameFolder(inside, path) {
		return nil
	}
	return syscall.Mount(inside, path, "", syscall.MS_BIND, "")
}

func sameFolder(a, b string) bool {
	first, wrong := os.Stat(a)
	second, alsoWrong := os.Stat(b)
	return wrong == nil && alsoWrong == nil && os.SameFile(first, second)
}

func answerAll(listener net.Listener) error {
	for {
		connection, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer connection.Close()
			for {
				message, err := readRecord(connection)
				if err != nil || writeRecord(connection, answer(message, connection.RemoteAddr())) != nil {
					return
				}
			}
		}()
	}
}

func answerPackets(mapper net.PacketConn) {
	packet := make([]byte, largest)
	for {
		length, from, err := mapper.ReadFrom(packet)
		if err != nil {
			return
		}
		_, _ = mapper.WriteTo(answer(packet[:length], from), from)
	}
}

func answer(message []byte, from net.Addr) []byte {
	asked := words{bytes.NewReader(message)}
	transaction := asked.number()
	asked.number() // a call
	asked.number() // of RPC version 2
	program, version, procedure := asked.number(), asked.number(), asked.number()
	for range 2 { // credentials and verifier
		asked.number()
		asked.text()
	}
	status, result := outcome(program, version, procedure, asked, from)
	reply := (&sentence{}).numbers(transaction, 1, 0, 0, 0, status)
	if status == noVersion {
		reply.numbers(2, 4)
	}
	reply.Write(result)
	return reply.Bytes()
}

func outcome(program, version, procedure uint32, asked words, from net.Addr) (uint32, []byte) {
	said := &sentence{}
	if program != portMap && program != nfs && program != mountd {
		return noProgram, nil
	}
	if procedure == 0 {
		return success, nil
	}
	switch {
	case program == mountd && procedure == 1:
		return success, granted(asked.text(), from, said)
	case program == mountd && (procedure == 3 || procedure == 4):
		return success, nil
	case program == mountd && procedure == 2:
		return success, said.numbers(0).Bytes()
	case program == mountd && procedure == 5:
		return success, listed(said)
	case program == portMap && version == 2 && procedure == 3:
		wanted, _, protocol := asked.number(), asked.number(), asked.number()
		return success, said.numbers(port(wanted, protocol == 6)).Bytes()
	case program == portMap && version > 2 && procedure == 3:
		wanted, _, network := asked.number(), asked.number(), asked.text()
		return success, said.text(universal(port(wanted, network == "tcp"))).Bytes()
	case program == portMap && version == 2 && procedure == 4:
		for _, entry := range [][]uint32{{portMap, 2, 6, mapPort}, {mountd, 3, 6, nfsPort}, {nfs, 3, 6, nfsPort}, {nfs, 4, 6, nfsPort}} {
			said.numbers(1).numbers(entry...)
		}
		return success, said.numbers(0).Bytes()
	case program == portMap && version > 2:
		return noVersion, nil
	}
	return noProcedure, nil
}

func port(program uint32, stream bool) uint32 {
	switch {
	case program == portMap:
		return mapPort
	case stream && (program == nfs || program == mountd):
		return nfsPort
	}
	return 0
}

func universal(port uint32) string {
	if port == 0 {
		return ""
	}
	return fmt.Sprintf("0.0.0.0.%d.%d", port>>8, port&0xff)
}

func granted(path string, from net.Addr, said *sentence) []byte {
	host, _, _ := net.SplitHostPort(from.String())
	for _, one := range exports() {
		if path != one.path && !strings.HasPrefix(path, strings.TrimSuffix(one.path, "/")+"/") {
			continue
		}
		if !one.admits(host) {
			continue
		}
		if err := provide(one.path); err != nil { // exported after this program was started
			break
		}
		if found, err := os.Stat(filepath.Join(shared, path)); err != nil || !found.IsDir() {
			return said.numbers(noSuchEntry).Bytes()
		}
		return said.numbers(allowed).text(path[:min(len(path), 60)]).numbers(1, 1).Bytes()
	}
	return said.numbers(denied).Bytes()
}

func listed(said *sentence) []byte {
	for _, one := range exports() {
		said.numbers(1).text(one.path)
		for _, client := range one.clients {
			said.numbers(1).text(client)
		}
		said.numbers(0)
	}
	return said.numbers(0).Bytes()
}

// What is exported as of now, a path and who may mount it: what exportfs has noted, or, where the package that brings it
// is not installed, the lines of /etc/exports. Options in brackets are not looked at.
func exports() []export {
	text, err := os.ReadFile("/var/lib/nfs/etab")
	if err != nil {
		text, err = os.ReadFile("/etc/exports")
	}
	if err != nil {
		return nil
	}
	var found []export
	for _, line := range strings.Split(string(text), "\n") {
		line, _, _ = strings.Cut(line, "#")
		parts := strings.Fields(line)
		if len(parts) == 0 {
			continue
		}
		one := export{path: filepath.Clean(parts[0])}
		for _, client := range parts[1:] {
			name, _, _ := strings.Cut(client, "(")
			if name == "" {
				name = "*"
			}
			one.clients = append(one.clients, name)
		}
		found = append(found, one)
	}
	return found
}

func (e export) admits(host string) bool {
	for _, client := range e.clients {
		if client == "*" || client == host {
			return true
		}
		if _, network, err := net.ParseCIDR(client); err == nil && network.Contains(net.ParseIP(host)) {
			return true
		}
		addresses, _ := net.LookupHost(client)
		for _, address := range addresses {
			if address == host {
				return true
			}
		}
	}
	return false
}
