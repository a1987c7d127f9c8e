// Shell completion. The scripts ask the program itself, with the hidden command __complete, what may come next.

package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	pockettts "github.com/pocket-tts-wasm/pocket-tts-wasm/wasi"
)

const completionUsage = "completion bash | zsh | fish"

var completions = map[string]string{
	"bash": `# pocket-tts completion bash > /etc/bash_completion.d/pocket-tts, or: source <(pocket-tts completion bash)
_pocket_tts() {
  local IFS=$'\n'
  COMPREPLY=($(compgen -W "$("${COMP_WORDS[0]}" __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2> /dev/null)" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _pocket_tts pocket-tts
`,
	"zsh": `#compdef pocket-tts
# pocket-tts completion zsh > a folder of $fpath as _pocket-tts, or: source <(pocket-tts completion zsh)
_pocket_tts() {
  local -a found
  found=("${(@f)$("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2> /dev/null)}")
  if [[ -n "${found[1]}" ]]; then compadd -a found; else _files; fi
}
if [[ "$funcstack[1]" == "_pocket-tts" ]]; then _pocket_tts; else compdef _pocket_tts pocket-tts; fi
`,
	"fish": `# pocket-tts completion fish > ~/.config/fish/completions/pocket-tts.fish
complete -c pocket-tts -a '(set -l words (commandline -opc) (commandline -ct); pocket-tts __complete $words[2..-1] 2> /dev/null)'
`,
}

func completion(args []string) error {
	flags := newFlagSet("completion")
	if done, err := parseCommand(flags, completionUsage, "Prints a script for a shell that completes commands, options and names.", args, "SHELL"); done || err != nil {
		return err
	}
	script, ok := completions[flags.Arg(0)]
	if !ok {
		return usageError{fmt.Sprintf("Invalid value for 'SHELL': '%s' is not one of 'bash', 'zsh', 'fish'.", flags.Arg(0)), completionUsage}
	}
	_, err := fmt.Print(script)
	return err
}

// complete prints what may stand in place of the last word, one a line. Nothing: a path.
func complete(words []string) error {
	if len(words) == 0 {
		words = []string{""}
	}
	last, before := words[len(words)-1], words[:len(words)-1]
	for _, word := range candidates(before, last) {
		if strings.HasPrefix(word, last) {
			if _, err := fmt.Println(word); err != nil {
				return err
			}
		}
	}
	return nil
}

func candidates(before []string, last string) []string {
	if len(before) == 0 {
		names := []string{"--help", "--version"}
		for _, command := range commands {
			name, _, _ := strings.Cut(command.usage, " ")
			names = append(names, name)
		}
		return names
	}
	flags, arguments := flagsFor(before)
	if flags == nil {
		return arguments
	}
	if name, isFlag := strings.CutPrefix(before[len(before)-1], "--"); isFlag {
		if flag := flags.Lookup(name); flag != nil && flag.NoOptDefVal == "" {
			return valuesOf(flag)
		}
	}
	if !strings.HasPrefix(last, "-") {
		return arguments
	}
	names := []string{"--help"}
	flags.VisitAll(func(flag *pflag.Flag) {
		if !flag.Hidden {
			names = append(names, "--"+flag.Name)
		}
	})
	return names
}

// flagsFor are the flags of a command, and its arguments as far as they are names.
func flagsFor(before []string) (flags *pflag.FlagSet, arguments []string) {
	switch before[0] {
	case "generate":
		return newFlags(new(options)), nil
	case "serve":
		return newServeFlags(new(serveOptions)), nil
	case "wyoming":
		return newWyomingFlags(new(wyomingOptions)), nil
	case "voicereader", sidecarFlag:
		return newVoiceReaderFlags(new(voiceReaderOptions)), nil
	case "voices":
		return new(voiceOptions).flags(false), nil
	case "export-voice":
		return new(voiceOptions).flags(true), nil
	case "doctor":
		return newDoctorFlags(new(string)), nil
	case "health":
		return newHealthFlags(new(time.Duration)), nil
	case "licenses":
		return newFlagSet("licenses"), nil
	case "completion":
		return newFlagSet("completion"), []string{"bash", "zsh", "fish"}
	case "packs":
		if len(before) == 1 {
			return nil, []string{"list", "pull", "verify", "rm", "convert", "--help"}
		}
		if before[1] == "convert" {
			return newConvertFlags(new(convertOptions)), packNames()
		}
		return new(packsOptions).flagsOf(before[1]), packNames()
	}
	return nil, nil
}

func packNames() []string { return append([]string{starterName}, pockettts.PackNames()...) }

// valuesOf are the values of a flag, as far as they are names.
func valuesOf(flag *pflag.Flag) []string {
	switch kind := flag.Value.Type(); {
	case flag.Name == "pack":
		return packNames()
	case flag.Name == "language":
		return pockettts.PackNames()
	case flag.Name == "with":
		return append(doorNames(), "none")
	case strings.ToUpper(kind) != kind: // names of its values
		return slices.DeleteFunc(strings.Split(kind, "|"), func(name string) bool { return strings.ToUpper(name) == name && strings.ToLower(name) != name })
	}
	return nil
}
