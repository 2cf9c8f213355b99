// Grype-database writes a small vulnerability database in Grype's own format (schema 6), for tests
// that may not depend on today's advisories or on the network:
//
//	grype-database ADVISORIES.json FOLDER BUILT
//
// FOLDER gets vulnerability.db, to be packed for `grype db import`. BUILT (RFC 3339) is the time that the database
// says it is from.
package main

import (
	"database/sql"
	"encoding/json"
	"log"
	"os"
	"path/filepath"
	"strings"
	"time"

	v6 "github.com/anchore/grype/grype/db/v6"
)

type advisory struct {
	ID       string `json:"id"`
	CVE      string `json:"cve"`
	Package  string `json:"package"`
	Affected string `json:"affected"`
	Fixed    string `json:"fixed"`
	Severity string `json:"severity"`
	Title    string `json:"title"`
}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 4 {
		log.Fatal("usage: grype-database ADVISORIES.json FOLDER BUILT")
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
	path := filepath.Join(folder, v6.VulnerabilityDBFileName)
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	if err := fill(folder, advisories, built); err != nil {
		return err
	}
	return backdate(path, built)
}

func fill(folder string, advisories []advisory, built time.Time) error {
	writer, err := v6.NewWriter(v6.Config{DBDirPath: folder})
	if err != nil {
		return err
	}
	provider := v6.Provider{ID: "github", Version: "1", Processor: "tests", DateCaptured: &built}
	if err := writer.AddProvider(provider); err != nil {
		return err
	}
	for _, each := range advisories {
		severity := v6.Severity{Scheme: v6.SeveritySchemeCHMLN, Value: strings.ToLower(each.Severity)}
		vulnerability := &v6.VulnerabilityHandle{
			Name:          each.ID,
			Status:        v6.VulnerabilityActive,
			PublishedDate: &built,
			ModifiedDate:  &built,
			ProviderID:    provider.ID,
			BlobValue: &v6.VulnerabilityBlob{
				ID:          each.ID,
				Description: each.Title,
				Aliases:     []string{each.CVE},
				Severities:  []v6.Severity{severity},
			},
		}
		if err := writer.AddVulnerabilities(vulnerability); err != nil {
			return err
		}
		affected := v6.Range{
			Version: v6.Version{Type: "python", Constraint: each.Affected},
			Fix:     &v6.Fix{Version: each.Fixed, State: v6.FixedStatus},
		}
		if err := writer.AddAffectedPackages(&v6.AffectedPackageHandle{
			VulnerabilityID: vulnerability.ID,
			Package:         &v6.Package{Ecosystem: "python", Name: each.Package},
			BlobValue:       &v6.PackageBlob{CVEs: []string{each.CVE}, Ranges: []v6.Range{affected}},
		}); err != nil {
			return err
		}
	}
	if err := writer.SetDBMetadata(); err != nil {
		return err
	}
	return writer.Close()
}

// backdate replaces the time of building, for which the writer always takes the present.
func backdate(path string, built time.Time) error {
	// The driver is the one that Grype's own package registers.
	database, err := sql.Open("sqlite", path)
	if err != nil {
		return err
	}
	defer database.Close()
	_, err = database.Exec("UPDATE db_metadata SET build_timestamp = ?", built)
	return err
}
