package report

import (
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
)

// Matrix writes a Markdown table that sets several implementations side by side.
func Matrix(w io.Writer, reports []*Compliance) error {
	m := &markdown{}
	m.printf("| implementation | profile | level | core | extended | over-admitted | wrongly rejected | leak | refund p99 |\n")
	m.printf("|---|---|---|---|---|--:|--:|--:|--:|\n")
	var features []string
	for _, c := range reports {
		m.printf("| %s | %s | **%s** | %s | %s | %d | %d | %d | %s |\n", mdText(c.title()), mdText(c.Profile.Name+" "+c.Profile.Version),
			mdText(c.Level), c.Core.cell(), c.Extended.cell(), c.Measured.MaxOverAdmission, c.Measured.MaxWronglyRejected, c.Measured.Leak,
			first(mdText(c.Measured.RefundLatencyP99), "not seen"))
		features = union(features, union(c.Extended.Supported, c.Extended.Unsupported))
	}
	if len(features) > 0 {
		m.features(reports, features)
	}
	_, err := io.WriteString(w, m.String())
	return err
}

func (m *markdown) features(reports []*Compliance, features []string) {
	m.printf("\n| feature |")
	for _, c := range reports {
		m.printf(" %s |", mdText(c.title()))
	}
	m.printf("\n|---|%s\n", strings.Repeat(":-:|", len(reports)))
	for _, feature := range features {
		m.printf("| %s |", mdText(feature))
		for _, c := range reports {
			switch {
			case slices.Contains(c.Extended.Supported, feature):
				m.printf(" yes |")
			case slices.Contains(c.Extended.Unsupported, feature):
				m.printf(" no |")
			default:
				m.printf(" not said |")
			}
		}
		m.printf("\n")
	}
}

func (c *Compliance) title() string {
	return strings.TrimSpace(first(c.Implementation.Project, c.Implementation.Organization, "unnamed") + " " + c.Implementation.Version)
}

func (r *ComplianceResult) cell() string {
	s := r.Statistics
	text := fmt.Sprintf("%d of %d", s.Passed, s.Passed+s.Failed)
	if s.Skipped > 0 {
		text += fmt.Sprintf(", %d skipped", s.Skipped)
	}
	return text
}

var badge = template.Must(template.New("badge").Parse(`<svg xmlns="http://www.w3.org/2000/svg" width="{{.Width}}" height="20" role="img" aria-label="{{.Left}}: {{.Right}}">
<title>{{.Left}}: {{.Right}}</title>
<clipPath id="r"><rect width="{{.Width}}" height="20" rx="4"/></clipPath>
<g clip-path="url(#r)"><rect width="{{.LeftWidth}}" height="20" fill="#3d4450"/><rect x="{{.LeftWidth}}" width="{{.RightWidth}}" height="20" fill="{{.Fill}}"/></g>
<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" text-anchor="middle">
<text x="{{.LeftMiddle}}" y="14">{{.Left}}</text><text x="{{.RightMiddle}}" y="14">{{.Right}}</text>
</g></svg>
`))

// Badge writes the level of a report as a small SVG.
func Badge(w io.Writer, c *Compliance) error {
	left, right := first(c.Profile.Name, "token-limit"), c.Level
	fill := "#a33a2c"
	switch at := slices.Index(Levels, c.Level); {
	case at >= 3:
		fill = "#2e7d4f"
	case at >= coreLevels-1:
		fill = "#8a6d1d"
	}
	const perLetter, margin = 7, 12
	l, r := len(left)*perLetter+margin, len(right)*perLetter+margin
	err := badge.Execute(w, map[string]any{
		"Left": left, "Right": right, "Fill": fill, "Width": l + r, "LeftWidth": l, "RightWidth": r,
		"LeftMiddle": l / 2, "RightMiddle": l + r/2,
	})
	if err != nil {
		return fmt.Errorf("writing the badge: %w", err)
	}
	return nil
}
