// Check an exported log with the Go project's own code: golang.org/x/mod/sumdb/note and tlog.
//
// The note package verifies the Ed25519 line and takes the others as unknown; the tlog package
// computes the tree from the entries, and every tile that a log of this size has, which are
// compared with the files. (Its TileHashReader is not used: before version 0.40 it left out
// checks, CVE-2026-56865.)
//
// Usage: go run main.go FOLDER VKEY
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func fail(format string, values ...any) {
	fmt.Printf("not accepted: "+format+"\n", values...)
	os.Exit(1)
}

func read(folder, name string) []byte {
	data, err := os.ReadFile(filepath.Join(folder, name))
	if err != nil {
		fail("%s is absent", name)
	}
	return data
}

// path returns the C2SP name of a tile: the one of the Go checksum database without its height.
func path(kind string, tile tlog.Tile) string {
	parts := strings.SplitN(tile.Path(), "/", 4) // tile, height, level, position
	return "tile/" + kind + "/" + parts[3]
}

func main() {
	folder, vkey := os.Args[1], os.Args[2]
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		fail("the key: %v", err)
	}
	signed, err := note.Open(read(folder, "checkpoint"), note.VerifierList(verifier))
	if err != nil {
		fail("the note: %v", err)
	}
	lines := strings.Split(signed.Text, "\n")
	size, err := strconv.ParseInt(lines[1], 10, 64)
	root, err2 := base64.StdEncoding.DecodeString(lines[2])
	if len(lines) != 4 || lines[0] != verifier.Name() || err != nil || err2 != nil {
		fail("the checkpoint")
	}
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		found := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			found[i] = stored[index]
		}
		return found, nil
	})
	var index int64
	var tiles []tlog.Tile // NewTiles also names the narrower versions of the last one
	for _, tile := range tlog.NewTiles(8, 0, size) {
		if tile.W == 256 || tile.N<<8+int64(tile.W) == size>>(8*tile.L) {
			tiles = append(tiles, tile)
		}
	}
	for _, tile := range tiles {
		if tile.L != 0 {
			continue
		}
		data := read(folder, path("entries", tile))
		for count := 0; count < tile.W; count++ {
			if len(data) < 2 || len(data)-2 < int(binary.BigEndian.Uint16(data)) {
				fail("an entry bundle ends early")
			}
			end := 2 + int(binary.BigEndian.Uint16(data))
			hashes, err := tlog.StoredHashes(index, data[2:end], reader)
			if err != nil {
				fail("hashing: %v", err)
			}
			stored = append(stored, hashes...)
			data = data[end:]
			index++
		}
		if len(data) != 0 {
			fail("bytes behind an entry bundle")
		}
	}
	if index != size {
		fail("%d entries instead of %d", index, size)
	}
	if size > 0 { // this library has a root of its own for the empty tree
		found, err := tlog.TreeHash(size, reader)
		if err != nil || !bytes.Equal(found[:], root) {
			fail("the root hash")
		}
	}
	for _, tile := range tiles {
		data, err := tlog.ReadTileData(tile, reader)
		name := path(strconv.Itoa(tile.L), tile)
		if err != nil || !bytes.Equal(data, read(folder, name)) {
			fail("%s", name)
		}
	}
	fmt.Printf("accepted: size %d, root %x\n", size, root)
}
