// The style sheet of the report page, with a light and a dark colour scheme. It loads nothing.
// Colours of a chart differ in lightness as well as hue, and its lines differ in their dashes.
// So the charts can be read without colour vision and in print.

export const pageStyle = `
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --ink: #1b2330; --soft: #5b6675; --rule: #dfe3e9; --grid: #e9ecf1;
  --peak: #fff3e0; --good: #16794a; --bad: #b42318;
  --new: #b9c9e2; --retry: #f3b36b; --accepted: #1f5fbf; --forwarded: #0b7a6f;
  --ready: #4f83cc; --flight: #9fc3ea; --refused: #f6d2a2; --room: #343e4e;
  --service: #0b7a6f; --service-fill: #cfe9e4; --desired: #343e4e;
  --p99: #8a4bb8; --p50: #5b3a9e; --delay-fill: #ece2f6; --idle: #6b7a1f; --idle-fill: #eef2d3;
  --out: #c2570c; --in: #47607f;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #11151b; --card: #1a2029; --ink: #e7ebf1; --soft: #9aa6b6; --rule: #2d3642; --grid: #262e39;
    --peak: #2e261a; --good: #4fc78a; --bad: #ff8a7a;
    --new: #3c4f6e; --retry: #a8691f; --accepted: #7db2ff; --forwarded: #45cdbb;
    --ready: #4a7fc9; --flight: #2f5484; --refused: #70501f; --room: #d5dce6;
    --service: #45cdbb; --service-fill: #1d423d; --desired: #d5dce6;
    --p99: #c79bf0; --p50: #9f86f0; --delay-fill: #332a45; --idle: #b9cc55; --idle-fill: #30361b;
    --out: #ffa45c; --in: #9db8d8;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 28px 20px 48px; }
h1 { margin: 0; font-size: 26px; line-height: 1.25; letter-spacing: -0.01em; }
h2 { margin: 36px 0 12px; font-size: 18px; }
h3 { margin: 0; font-size: 15px; }
small { font-size: 13px; font-weight: 400; color: var(--soft); }
header p { max-width: 78ch; margin: 10px 0 0; }
.when { margin: 0 0 4px; color: var(--soft); font-size: 13px; }
.checks { display: flex; flex-wrap: wrap; gap: 6px 18px; margin: 14px 0 0; padding: 0; list-style: none; font-weight: 600; }
.checks .good { color: var(--good); }
.checks .bad { color: var(--bad); }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(158px, 1fr)); gap: 10px; margin: 22px 0 0; }
.tile { margin: 0; padding: 12px 14px; background: var(--card); border: 1px solid var(--rule); border-radius: 8px; }
.tile dt { color: var(--soft); font-size: 13px; }
.tile dd { margin: 0; }
.tile .figure { font-size: 25px; font-weight: 650; line-height: 1.3; font-variant-numeric: tabular-nums; letter-spacing: -0.01em; }
.tile .note { color: var(--soft); font-size: 12.5px; line-height: 1.35; }
figure { margin: 0 0 12px; padding: 12px 14px 6px; background: var(--card); border: 1px solid var(--rule); border-radius: 8px; }
figcaption p { margin: 0 0 6px; color: var(--soft); font-size: 13px; }
.chart { min-width: 0; }
.chart:focus-visible, .table:focus-visible { outline: 2px solid var(--accepted); outline-offset: 2px; }
.uplot { font-family: inherit; line-height: inherit; }
.u-legend { pointer-events: none; color: var(--soft); font-size: 13px; background: none; width: auto; }
.u-legend th, .u-legend td { padding: 0 4px; border: 0; font-weight: 400; }
.u-legend .u-value { min-width: 7ch; color: var(--ink); font-weight: 600; text-align: left; }
.u-inline tr { margin-right: 8px; }
.u-legend .u-label { white-space: normal; }
.u-legend .u-series.line-only .u-marker { height: 0; border-width: 2px 0 0 !important; }
.u-hz .u-cursor-x { border-right: 1px solid var(--soft); }
.phase { position: absolute; top: 0; bottom: 0; } .phase.peak { background: var(--peak); }
.phase-name { position: absolute; top: 2px; padding: 0 2px 0 6px; color: var(--soft); font-size: 11.5px; font-weight: 600; line-height: 1.2;
  pointer-events: none; }
.event { position: absolute; top: 0; bottom: 0; width: 0; border-left: 1px dashed; }
.mark { position: absolute; top: 2px; width: 19px; height: 19px; margin-left: -9.5px; background: var(--card); border: 1.5px solid;
  border-radius: 50%; font-size: 11px; font-weight: 600; line-height: 16px; text-align: center; }
.mark.lower { top: 22px; }
.event.out, .mark.out { border-color: var(--out); color: var(--out); } .event.in, .mark.in { border-color: var(--in); color: var(--in); }
.table { overflow-x: auto; }
.visually-hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
table { width: 100%; border-collapse: collapse; background: var(--card); font-size: 13.5px; font-variant-numeric: tabular-nums; }
.table { border: 1px solid var(--rule); border-radius: 8px; }
.table.tall { max-height: 420px; overflow: auto; }
.tall th, .tall td { padding: 5px 8px; }
.tall thead th { position: sticky; top: 0; background: var(--card); box-shadow: 0 1px var(--rule); }
th, td { padding: 6px 12px; text-align: left; white-space: nowrap; border-bottom: 1px solid var(--rule); }
tbody tr:last-child > * { border-bottom: 0; }
thead th { color: var(--soft); font-weight: 600; }
.number { text-align: right; }
td.reason { white-space: normal; min-width: 260px; }
tbody th { font-weight: 600; }
.out-text { color: var(--out); font-weight: 600; } .in-text { color: var(--in); font-weight: 600; }
footer { margin-top: 32px; color: var(--soft); font-size: 13px; }
code { font: 12.5px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
@media (max-width: 500px) { main { padding: 20px 10px 32px; } figure { padding: 10px 6px 6px; } .tiles { grid-template-columns: repeat(2, minmax(0, 1fr)); } }
@media print { body { background: none; } figure, .tile { break-inside: avoid; } .table.tall { max-height: none; } }
`.trim()
