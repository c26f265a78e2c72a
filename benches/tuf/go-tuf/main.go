// go-tuf under the protocol of `pratique tuf`, with limits that let large repositories in.
package main

import (
	"flag"
	"log"
	"os"
	"path/filepath"

	"github.com/theupdateframework/go-tuf/v2/metadata/config"
	"github.com/theupdateframework/go-tuf/v2/metadata/updater"
)

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	folder := flag.String("metadata-dir", "", "")
	metadata := flag.String("metadata-url", "", "")
	name := flag.String("target-name", "", "")
	targets := flag.String("target-dir", "", "")
	base := flag.String("target-base-url", "", "")
	flag.Parse()
	if flag.Arg(0) == "init" {
		root, err := os.ReadFile(flag.Arg(1))
		must(err)
		must(os.MkdirAll(*folder, 0o755))
		must(os.WriteFile(filepath.Join(*folder, "root.json"), root, 0o644))
		return
	}
	root, err := os.ReadFile(filepath.Join(*folder, "root.json"))
	must(err)
	must(os.MkdirAll(*targets, 0o755))
	cfg, err := config.New(*metadata, root)
	must(err)
	cfg.LocalMetadataDir = *folder
	cfg.LocalTargetsDir = *targets
	cfg.RemoteTargetsURL = *base
	cfg.SnapshotMaxLength = 128 << 20
	cfg.TargetsMaxLength = 128 << 20
	up, err := updater.New(cfg)
	must(err)
	must(up.Refresh())
	info, err := up.GetTargetInfo(*name)
	must(err)
	_, _, err = up.DownloadTarget(info, filepath.Join(*targets, "target"), *base)
	must(err)
}
