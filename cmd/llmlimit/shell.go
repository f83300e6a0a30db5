package main

import (
	"errors"
	"strings"
)

// shellWords splits a line as a POSIX shell does, as far as people paste curl lines:
// quotes of both kinds, $'…' as browsers copy it, backslashes, continued lines. It
// expands nothing.
func shellWords(line string) ([]string, error) {
	var words []string
	var word strings.Builder
	inWord := false
	for i := 0; i < len(line); {
		switch c := line[i]; {
		case c == '\'' || c == '$' && strings.HasPrefix(line[i+1:], "'"):
			if c == '$' {
				i++
			}
			text, length, err := quoted(line[i:], c == '$')
			if err != nil {
				return nil, err
			}
			word.WriteString(text)
			inWord = true
			i += length
		case c == '"':
			text, length, err := doubleQuoted(line[i:])
			if err != nil {
				return nil, err
			}
			word.WriteString(text)
			inWord = true
			i += length
		case c == '\\':
			if i+1 < len(line) && line[i+1] != '\n' {
				word.WriteByte(line[i+1])
				inWord = true
			}
			i += 2
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			if inWord {
				words = append(words, word.String())
			}
			word.Reset()
			inWord = false
			i++
		case strings.ContainsRune("|&;<>", rune(c)):
			return nil, errors.New("it contains " + string(c) + " outside quotes: give the curl command alone, and quote its URL and body")
		default:
			word.WriteByte(c)
			inWord = true
			i++
		}
	}
	if inWord {
		words = append(words, word.String())
	}
	return words, nil
}

var errOpenQuote = errors.New("a quote is never closed")

// quoted reads '…' at the start of s, with escapes if it was $'…'. The length
// includes the quotes.
func quoted(s string, escapes bool) (text string, length int, err error) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\'':
			return b.String(), i + 1, nil
		case s[i] == '\\' && escapes && i+1 < len(s):
			i++
			switch s[i] {
			case 'n':
				b.WriteByte('\n')
			case 't':
				b.WriteByte('\t')
			case 'r':
				b.WriteByte('\r')
			case '\\', '\'', '"':
				b.WriteByte(s[i])
			case 'u':
				// \uXXXX means the same inside JSON, where curl lines have it.
				b.WriteString(`\u`)
			default:
				return "", 0, errors.New(`the escape \` + string(s[i]) + ` in $'…' is not understood`)
			}
		default:
			b.WriteByte(s[i])
		}
	}
	return "", 0, errOpenQuote
}

// doubleQuoted reads "…" at the start of s. A backslash counts before what the shell
// would expand, and before the end of a line, which it removes.
func doubleQuoted(s string) (text string, length int, err error) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return b.String(), i + 1, nil
		case s[i] == '\\' && i+1 < len(s) && strings.IndexByte("\"\\$`\n", s[i+1]) >= 0:
			i++
			if s[i] != '\n' {
				b.WriteByte(s[i])
			}
		default:
			b.WriteByte(s[i])
		}
	}
	return "", 0, errOpenQuote
}
