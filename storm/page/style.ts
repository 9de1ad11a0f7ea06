// The report page's style sheet: one block of CSS, two colour schemes, nothing fetched.
// Owns: the colours of the series. Each differs from its neighbours in lightness as well as hue, and lines also differ
// in their dashes, so that the charts can be read without colour vision and in print.

export const STYLE = `
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
figcaption { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 2px 24px; margin: 0 0 4px; }
.legend { display: flex; flex-wrap: wrap; gap: 0 16px; margin: 0; padding: 0; list-style: none; font-size: 13px; color: var(--soft); }
.legend li { display: flex; align-items: center; gap: 6px; }
.key { display: inline-block; width: 18px; height: 0; border-top: 3px solid; }
.key[class*="fill-"] { width: 14px; height: 12px; border: 0; border-radius: 2px; }
.scroll, .table { overflow-x: auto; }
svg { display: block; width: 100%; min-width: 700px; height: auto; font-family: inherit; font-variant-numeric: tabular-nums; }
.grid { stroke: var(--grid); } .axis { stroke: var(--soft); stroke-opacity: .55; }
.tick { fill: var(--soft); font-size: 11.5px; }
.phase { fill: none; } .phase.peak { fill: var(--peak); }
.phase-name { fill: var(--soft); font-size: 11.5px; font-weight: 600; paint-order: stroke; stroke: var(--card); stroke-width: 4px; }
.phase-name.peak { stroke: var(--peak); }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; }
.hint { fill: transparent; } .hint:hover { fill: var(--soft); fill-opacity: .13; }
.event { stroke-width: 1; stroke-dasharray: 2 3; }
.event.out { stroke: var(--out); } .event.in { stroke: var(--in); }
.mark circle { fill: var(--card); stroke-width: 1.5; } .mark text { font-size: 11px; font-weight: 600; }
.mark.out circle { stroke: var(--out); } .mark.out text { fill: var(--out); }
.mark.in circle { stroke: var(--in); } .mark.in text { fill: var(--in); }
path.fill-new { fill: var(--new); } i.fill-new { background: var(--new); }
path.fill-retry { fill: var(--retry); } i.fill-retry { background: var(--retry); }
path.fill-ready { fill: var(--ready); } i.fill-ready { background: var(--ready); }
path.fill-flight { fill: var(--flight); } i.fill-flight { background: var(--flight); }
path.fill-refused { fill: var(--refused); } i.fill-refused { background: var(--refused); }
path.fill-service { fill: var(--service-fill); } i.fill-service { background: var(--service-fill); box-shadow: inset 0 3px var(--service); }
path.fill-delay { fill: var(--delay-fill); } path.fill-idle { fill: var(--idle-fill); }
.accepted { stroke: var(--accepted); border-color: var(--accepted); }
.forwarded { stroke: var(--forwarded); border-color: var(--forwarded); }
.line.forwarded { stroke-dasharray: 6 3; } .key.forwarded { border-top-style: dashed; }
.room { stroke: var(--room); border-color: var(--room); }
.line.room { stroke-width: 1.5; stroke-dasharray: 5 3; } .key.room { border-top: 2px dashed var(--room); }
.service { stroke: var(--service); }
.desired { stroke: var(--desired); border-color: var(--desired); }
.line.desired { stroke-width: 1.5; stroke-dasharray: 3 3; } .key.desired { border-top: 2px dashed var(--desired); }
.p99 { stroke: var(--p99); border-color: var(--p99); } .p50 { stroke: var(--p50); border-color: var(--p50); }
.line.p50 { stroke-dasharray: 6 3; } .key.p50 { border-top-style: dashed; }
.idle { stroke: var(--idle); border-color: var(--idle); }
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
@media print { body { background: none; } figure, .tile { break-inside: avoid; } .table.tall { max-height: none; } }
`.trim()
