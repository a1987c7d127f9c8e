// The command licenses: the terms of what is in this program.

package main

import (
	_ "embed"
	"fmt"
)

const licensesUsage = "licenses"

//go:generate ../../../scripts/go-licenses.sh

//go:embed THIRD_PARTY_LICENSES.txt
var thirdParty string

// licenses prints them.
func licenses(args []string) error {
	if done, err := parseCommand(newFlagSet("licenses"), licensesUsage, "Prints the licences of what is in this program.", args); done || err != nil {
		return err
	}
	_, err := fmt.Print(thirdParty)
	return err
}
