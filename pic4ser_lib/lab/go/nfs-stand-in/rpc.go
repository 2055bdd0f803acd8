package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"
)

const largest = 64 << 10 // bytes of one call or reply

// One call or reply of ONC RPC being read; a short one reads as zeros.
type words struct{ *bytes.Reader }

func (w words) number() uint32 {
	var value uint32
	_ = binary.Read(w, binary.BigEndian, &value)
	return value
}

func (w words) text() string {
	length := int(w.number())
	if length > w.Len() {
		return ""
	}
	value := make([]byte, length)
	_, _ = io.ReadFull(w, value)
	_, _ = w.Seek(int64(padding(length)), io.SeekCurrent)
	return string(value)
}

// What is being said.
type sentence struct{ bytes.Buffer }

func (s *sentence) numbers(values ...uint32) *sentence {
	_ = binary.Write(s, binary.BigEndian, values)
	return s
}

func (s *sentence) text(value string) *sentence {
	s.numbers(uint32(len(value)))
	s.WriteString(value)
	s.Write(make([]byte, padding(len(value))))
	return s
}

func padding(length int) int { return (4 - length%4) % 4 }

// Messages on a stream carry their length; the highest bit says that it is the last piece, as ours always are.
func readRecord(from io.Reader) ([]byte, error) {
	var message []byte
	for {
		var head uint32
		if err := binary.Read(from, binary.BigEndian, &head); err != nil {
			return nil, err
		}
		length := int(head &^ (1 << 31))
		if len(message)+length > largest {
			return nil, fmt.Errorf("a message of more than %d bytes", largest)
		}
		piece := make([]byte, length)
		if _, err := io.ReadFull(from, piece); err != nil {
			return nil, err
		}
		message = append(message, piece...)
		if head&(1<<31) != 0 {
			return message, nil
		}
	}
}

func writeRecord(to io.Writer, message []byte) error {
	whole := binary.BigEndian.AppendUint32(nil, uint32(len(message))|1<<31)
	_, err := to.Write(append(whole, message...))
	return err
}

// Calls a procedure without credentials and returns what follows "accepted, success".
func call(address string, program, version, procedure uint32, arguments []byte) (words, error) {
	connection, err := net.DialTimeout("tcp", address, 3*time.Second)
	if err != nil {
		return words{}, err
	}
	defer connection.Close()
	_ = connection.SetDeadline(time.Now().Add(5 * time.Second))
	asked := (&sentence{}).numbers(1, 0, 2, program, version, procedure, 0, 0, 0, 0)
	asked.Write(arguments)
	if err := writeRecord(connection, asked.Bytes()); err != nil {
		return words{}, err
	}
	message, err := readRecord(connection)
	if err != nil {
		return words{}, err
	}
	reply := words{bytes.NewReader(message)}
	for _, wanted := range []uint32{1, 1, 0, 0, 0, 0} { // transaction, reply, accepted, no verifier (2), success
		if seen := reply.number(); seen != wanted {
			return words{}, fmt.Errorf("the server speaks no NFS")
		}
	}
	return reply, nil
}
