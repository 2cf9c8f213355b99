// Writes a vulnerability database for trivy (schema 2) that knows the planted images' packages.
//
//	trivy-database FOLDER
package main

import (
	"encoding/json"
	"log"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
)

const (
	schema = 2
	source = "pip::GitHub Security Advisory pip"
)

type object = map[string]any

// advisories by package; each as the public database has it.
var advisories = map[string]struct {
	cve, vulnerable, fixed, title string
}{
	"jinja2": {"CVE-2019-10906", "<2.10.1", "2.10.1", "Sandbox escape by str.format_map"},
	"pillow": {"CVE-2023-4863", "<10.0.1", "10.0.1", "Heap overflow in libwebp"},
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: trivy-database FOLDER")
	}
	folder := os.Args[1]
	if err := write(folder); err != nil {
		log.Fatal(err)
	}
}

func write(folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	db, err := bbolt.Open(filepath.Join(folder, "trivy.db"), 0o644, nil)
	if err != nil {
		return err
	}
	if err := db.Update(fill); err != nil {
		return err
	}
	if err := db.Close(); err != nil {
		return err
	}
	now := time.Now().UTC()
	metadata, err := json.Marshal(object{
		"Version": schema, "UpdatedAt": now, "NextUpdate": now.Add(24 * time.Hour), "DownloadedAt": now,
	})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, "metadata.json"), metadata, 0o644)
}

func fill(tx *bbolt.Tx) error {
	origin := object{"ID": "ghsa", "Name": "GitHub Security Advisory pip", "URL": "https://github.com/advisories"}
	if err := put(tx, origin, source, "data-source"); err != nil {
		return err
	}
	for name, a := range advisories {
		advisory := object{"VulnerableVersions": []string{a.vulnerable}, "PatchedVersions": []string{a.fixed}}
		if err := put(tx, advisory, a.cve, source, name); err != nil {
			return err
		}
		detail := object{"Title": a.title, "Severity": "HIGH", "VendorSeverity": object{"ghsa": 3}}
		if err := put(tx, detail, a.cve, "vulnerability"); err != nil {
			return err
		}
	}
	return nil
}

// put stores a value as JSON under a key in nested buckets.
func put(tx *bbolt.Tx, value any, key string, first string, rest ...string) error {
	bucket, err := tx.CreateBucketIfNotExists([]byte(first))
	for _, name := range rest {
		if err != nil {
			return err
		}
		bucket, err = bucket.CreateBucketIfNotExists([]byte(name))
	}
	if err != nil {
		return err
	}
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return bucket.Put([]byte(key), text)
}
