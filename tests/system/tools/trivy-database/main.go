// Trivy-database writes a small vulnerability database in Trivy's own format (schema 2), for tests
// that may not depend on today's advisories or on the network:
//
//	trivy-database ADVISORIES.json FOLDER BUILT
//
// FOLDER gets trivy.db and metadata.json. BUILT (RFC 3339) is the time that the database says it is from.
package main

import (
	"encoding/json"
	"log"
	"os"
	"path/filepath"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
)

type advisory struct {
	CVE      string `json:"cve"`
	Package  string `json:"package"`
	Affected string `json:"affected"`
	Fixed    string `json:"fixed"`
	Severity string `json:"severity"`
	Title    string `json:"title"`
}

type object = map[string]any

// The ecosystem's prefix is what Trivy looks for; the rest names where the advisories come from.
const source = "pip::GitHub Security Advisory pip"

// Trivy's numbers for a vendor's severity.
var severities = map[string]int{"LOW": 1, "MEDIUM": 2, "HIGH": 3, "CRITICAL": 4}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 4 {
		log.Fatal("usage: trivy-database ADVISORIES.json FOLDER BUILT")
	}
	if err := write(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		log.Fatal(err)
	}
}

func write(from, folder, at string) error {
	built, err := time.Parse(time.RFC3339, at)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	var advisories []advisory
	if err := json.Unmarshal(data, &advisories); err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	path := filepath.Join(folder, "trivy.db")
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	database, err := bolt.Open(path, 0o644, nil)
	if err != nil {
		return err
	}
	defer database.Close()
	if err := database.Update(func(tx *bolt.Tx) error { return fill(tx, advisories) }); err != nil {
		return err
	}
	metadata, err := json.Marshal(object{
		"Version": 2, "UpdatedAt": built, "NextUpdate": built.Add(24 * time.Hour), "DownloadedAt": built,
	})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, "metadata.json"), metadata, 0o644)
}

func fill(tx *bolt.Tx, advisories []advisory) error {
	name := strings.SplitN(source, "::", 2)[1]
	where := object{"ID": "ghsa", "Name": name, "URL": "https://github.com/advisories"}
	if err := put(tx, where, source, "data-source"); err != nil {
		return err
	}
	for _, each := range advisories {
		versions := object{
			"VulnerableVersions": []string{each.Affected}, "PatchedVersions": []string{each.Fixed},
		}
		if err := put(tx, versions, each.CVE, source, each.Package); err != nil {
			return err
		}
		about := object{
			"Title":          each.Title,
			"Severity":       each.Severity,
			"VendorSeverity": object{"ghsa": severities[each.Severity]},
		}
		if err := put(tx, about, each.CVE, "vulnerability"); err != nil {
			return err
		}
	}
	return nil
}

// put stores a value as JSON under a key in buckets within buckets.
func put(tx *bolt.Tx, value object, key string, buckets ...string) error {
	bucket, err := tx.CreateBucketIfNotExists([]byte(buckets[0]))
	for _, name := range buckets[1:] {
		if err != nil {
			return err
		}
		bucket, err = bucket.CreateBucketIfNotExists([]byte(name))
	}
	if err != nil {
		return err
	}
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return bucket.Put([]byte(key), data)
}
