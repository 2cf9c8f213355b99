// Writes a vulnerability database for grype (schema 6) that knows the planted images' packages.
//
//	grype-database FOLDER      (then: grype db import ARCHIVE-OF-FOLDER)
package main

import (
	"log"
	"os"
	"time"

	v6 "github.com/anchore/grype/grype/db/v6"
)

const provider = "github"

var advisories = []struct {
	name, ghsa, cve, vulnerable, fixed, description string
}{
	{"jinja2", "GHSA-462w-v97r-4m45", "CVE-2019-10906", "<2.10.1", "2.10.1", "Sandbox escape by str.format_map"},
	{"pillow", "GHSA-j7hp-h8jx-5ppr", "CVE-2023-4863", "<10.0.1", "10.0.1", "Heap overflow in libwebp"},
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: grype-database FOLDER")
	}
	if err := write(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func write(folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	db, err := v6.NewWriter(v6.Config{DBDirPath: folder})
	if err != nil {
		return err
	}
	now := time.Now().UTC()
	if err := db.AddProvider(v6.Provider{ID: provider, Version: "1", DateCaptured: &now}); err != nil {
		return err
	}
	for _, a := range advisories {
		vulnerability := &v6.VulnerabilityHandle{
			Name: a.ghsa, Status: v6.VulnerabilityActive, ProviderID: provider, PublishedDate: &now, ModifiedDate: &now,
			BlobValue: &v6.VulnerabilityBlob{
				ID: a.ghsa, Description: a.description, Aliases: []string{a.cve},
				Severities: []v6.Severity{{Scheme: v6.SeveritySchemeCHMLN, Value: "high"}},
			},
		}
		if err := db.AddVulnerabilities(vulnerability); err != nil {
			return err
		}
		affected := &v6.AffectedPackageHandle{
			VulnerabilityID: vulnerability.ID,
			Package:         &v6.Package{Ecosystem: "python", Name: a.name},
			BlobValue: &v6.PackageBlob{
				CVEs: []string{a.cve},
				Ranges: []v6.Range{{
					Version: v6.Version{Type: "python", Constraint: a.vulnerable},
					Fix:     &v6.Fix{Version: a.fixed, State: v6.FixedStatus},
				}},
			},
		}
		if err := db.AddAffectedPackages(affected); err != nil {
			return err
		}
	}
	if err := db.SetDBMetadata(); err != nil {
		return err
	}
	return db.Close()
}
