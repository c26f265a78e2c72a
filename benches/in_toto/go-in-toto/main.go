// go-in-toto RUNS FOLDER: the milliseconds of each verification by in-toto-golang, from the files on.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/in-toto/in-toto-golang/in_toto"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	runs, err := strconv.Atoi(os.Args[1])
	check(err)
	folder := os.Args[2]
	text, err := os.ReadFile(filepath.Join(folder, "owner.json"))
	check(err)
	var key in_toto.Key
	check(json.Unmarshal(text, &key))
	for range runs {
		began := time.Now()
		layout, err := in_toto.LoadMetadata(filepath.Join(folder, "root.layout"))
		check(err)
		_, err = in_toto.InTotoVerify(layout, map[string]in_toto.Key{key.KeyID: key}, folder, "", nil, nil, true)
		check(err)
		fmt.Println(float64(time.Since(began).Nanoseconds()) / 1e6)
	}
}
