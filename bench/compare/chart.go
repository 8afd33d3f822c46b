package main

import (
	"fmt"
	"html"
	"strings"
)

const (
	chartWidth = 760
	barsFrom   = 120
	barsWidth  = 520
	barStep    = 18
	barHeight  = 12
)

const chartStyle = `<style>
text { font: 12px sans-serif; fill: #24292f }
.head { font-weight: bold }
.ours { fill: #1a7f37 }
.other { fill: #8c959f }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .ours { fill: #3fb950 } .other { fill: #6e7681 } }
</style>
`

// chart is an SVG with the medians as bars: those of each scenario beside the longest of it.
func (r *results) chart() string {
	var b strings.Builder
	y := 20
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	for _, s := range r.scenarios() {
		rows := r.of(s)
		longest := median(rows[len(rows)-1].Seconds)
		line(`<text class="head" x="4" y="%d">%s</text>`, y, html.EscapeString(s))
		y += barStep
		for _, w := range rows {
			class, took := "other", median(w.Seconds)
			if w.Program == ours {
				class = "ours"
			}
			width := max(1, took/longest*barsWidth)
			line(`<text x="%d" y="%d" text-anchor="end">%s</text>`, barsFrom-8, y, html.EscapeString(w.Program))
			line(`<rect class="%s" x="%d" y="%d" width="%.1f" height="%d"/>`, class, barsFrom, y-barHeight+2, width, barHeight)
			line(`<text x="%.1f" y="%d">%s</text>`, barsFrom+width+6, y, seconds(took))
			y += barStep
		}
		y += barStep / 2
	}
	line(`<text x="4" y="%d">%s. Each: the median of the rounds, shorter is better.</text>`, y, html.EscapeString(r.Machine))
	return fmt.Sprintf("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" role=\"img\">\n<title>rsbtbackup beside other backup programs</title>\n", chartWidth, y+12) +
		chartStyle + b.String() + "</svg>\n"
}
