"""The page's only style sheet: light and dark, wide and narrow, on paper; no fonts and no images from anywhere."""

MOST_MARKS = 20
"""Characters: the widest room that marks behind a number have a class for."""

STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1f; --paper: #ffffff; --dim: #55565c; --line: #c9cad1; --soft: #f3f4f7;
  --alarm: #a3130f; --link: #0a4fb0; }
@media screen and (prefers-color-scheme: dark) {
  :root { --ink: #e9e9ec; --paper: #15171b; --dim: #b0b2ba; --line: #44474f; --soft: #20232a; --alarm: #ff9d94;
    --link: #8fb8ff; }
}
* { box-sizing: border-box; }
html { background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, "Segoe UI", "Liberation Sans", Arial,
  sans-serif; -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; max-width: 84rem; padding: 0 1rem 3rem; overflow-wrap: anywhere; }
a { color: var(--link); }
a:focus-visible, summary:focus-visible, .scroll:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
.skip { position: absolute; left: -100rem; }
.skip:focus { left: 1rem; top: 0.5rem; background: var(--paper); padding: 0.5rem; z-index: 3; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 1.5rem 0 0.5rem; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 0.75rem; border-bottom: 2px solid var(--line); padding-bottom: 0.2rem; }
h3 { font-size: 1.05rem; margin: 1.5rem 0 0.5rem; }
header p { margin: 0.2rem 0; color: var(--dim); }
nav ul { display: flex; flex-wrap: wrap; gap: 0.2rem 1.1rem; list-style: none; margin: 1rem 0; padding: 0; }
nav a { display: inline-block; padding: 0.25rem 0; }
.scroll { overflow-x: auto; max-width: 100%; margin: 0.75rem 0; }
table { border-collapse: separate; border-spacing: 0; font-size: 0.875rem;
  font-variant-numeric: tabular-nums; overflow-wrap: normal; }
caption { text-align: left; font-weight: 600; padding: 0.25rem 0; min-width: 14rem; }
caption span { display: inline-block; position: sticky; left: 0; max-width: calc(100vw - 2rem); }
th, td { padding: 0.15rem 0.5rem; text-align: right; white-space: nowrap; vertical-align: top;
  background: var(--paper); }
th { font-weight: 400; }
thead th { font-weight: 600; border-bottom: 1px solid var(--line); vertical-align: bottom; }
thead td { border-bottom: 0; }
thead th.over { text-align: left; }
th.first, td.first { padding-left: 1.1rem; }
.words, tbody th { text-align: left; }
tbody tr:hover > * { background: var(--soft); }
th.section { text-align: left; font-weight: 600; padding-top: 0.8rem; }
td.strong { font-weight: 700; }
td.dim, .dim { color: var(--dim); }
td.alarm, .alarm { color: var(--alarm); }
.mark { display: inline-block; text-align: left; white-space: pre; font-weight: 400; }
.way { position: sticky; left: 0; width: 5.6rem; min-width: 5.6rem; z-index: 1; }
.rank { position: sticky; left: 5.6rem; z-index: 1; text-align: right; }
tbody th.rank { text-align: right; }
.wordy td, .wordy th { white-space: normal; text-align: left; max-width: 40rem; }
.wordy tbody th { font-weight: 600; white-space: nowrap; }
.notes { color: var(--dim); font-size: 0.8125rem; margin: 0.25rem 0 1rem; padding-left: 1.1rem; max-width: 70rem; }
figure { margin: 0.75rem 0; }
figcaption { font-weight: 600; }
svg { display: block; height: auto; font-family: system-ui, "Segoe UI",
  "Liberation Sans", Arial, sans-serif; }
details { border: 1px solid var(--line); border-radius: 4px; margin: 0.4rem 0; padding: 0.3rem 0.75rem; }
summary { cursor: pointer; }
.output { display: block; white-space: pre-wrap; overflow: hidden; overflow-wrap: anywhere; font: 0.8125rem/1.45
  ui-monospace, "Liberation Mono", Consolas, monospace; min-width: 14rem; }
.nothing { color: var(--dim); font-style: italic; }
.hint { border-left: 4px solid var(--line); padding: 0.3rem 0.8rem; }
footer { margin-top: 3rem; color: var(--dim); font-size: 0.875rem; }
@media print { :root { color-scheme: light; } @page { size: landscape; margin: 1cm; }
  .scroll { overflow: visible; } nav, .skip { display: none; }
  table { font-size: 0.6rem; } th, td { white-space: normal; }
  svg { max-width: 100%; } details::details-content { content-visibility: visible; block-size: auto; } }
""" + "".join(f".m{room} {{ min-width: {room}ch; }}\n" for room in range(1, MOST_MARKS + 1))
