// Charts: ECharts on a canvas, in the colours of the page, with units, and clicks on what was when.

import { el, short } from "./dom.js";

const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const whole = new Intl.NumberFormat("en");
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const second = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const day = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });
const whenFormat = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium", hourCycle: "h23" });
const DAY = 86_400_000;

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** A figure in its unit, as it reads; a dash where there is none. */
export function told(value, unit) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (unit === "ms") return value < 999.5 ? `${value < 10 ? value.toFixed(1) : Math.round(value)} ms` : `${(value / 1000).toFixed(value < 9995 ? 2 : 1)} s`;
  if (unit === "%") return `${value < 99.95 && value > 0 ? value.toFixed(1) : Math.round(value)} %`;
  if (unit === "$") return value === 0 ? "$0" : value >= 1 ? `$${value.toFixed(2)}` : `$${Number(value.toPrecision(2)).toFixed(value < 0.001 ? 6 : 4)}`;
  if (unit === "score") return value.toFixed(2);
  return value >= 100_000 ? compact.format(value) : whole.format(value);
}

/** A moment of a series whose steps are `step` milliseconds. */
export function moment(at, step) {
  const when = new Date(at);
  if (step >= DAY) return day.format(when);
  const time = (step < 60_000 ? second : clock).format(when);
  return Date.now() - at > DAY ? `${day.format(when)} ${time}` : time;
}

/** A date and time in full, and one of today. */
export const stamp = (at) => whenFormat.format(new Date(at));
export const today = (at) => second.format(new Date(at));

/** A name, also of what has none, and of all that is not told apart. */
export const named = (key, leftOut = 0) =>
  key === null ? `${leftOut || ""} others`.trim() : key === "" ? "(none)" : short(key, 60);

const colour = (series, index) => css(series.colour ?? `--c${(index % 8) + 1}`);

function options(drawn) {
  const text = css("--dim");
  const line = css("--line");
  const { times, step, unit, series, most } = drawn;
  const isBar = series.some((each) => each.bar);
  return {
    animation: false,
    textStyle: { fontFamily: css("--sans") },
    grid: { left: 8, right: 16, top: 12, bottom: series.length > 1 ? 36 : 8, outerBoundsMode: "same" },
    legend: {
      show: series.length > 1,
      type: "scroll",
      bottom: 0,
      left: 0,
      itemWidth: 12,
      itemHeight: 8,
      icon: "roundRect",
      textStyle: { color: text, fontSize: 12 },
      pageTextStyle: { color: text },
      pageIconColor: css("--accent"),
      pageIconInactiveColor: line,
    },
    tooltip: {
      trigger: "axis",
      // On the canvas: what is made of HTML would need styles that the page does not allow.
      renderMode: "richText",
      confine: true,
      backgroundColor: css("--panel"),
      borderColor: line,
      textStyle: { color: css("--text"), fontSize: 12 },
      axisPointer: { type: isBar ? "shadow" : "line", lineStyle: { color: text }, shadowStyle: { color: css("--sunken"), opacity: 0.6 } },
      formatter: (points) => tip(points, drawn),
    },
    xAxis: {
      type: "category",
      boundaryGap: isBar,
      data: times.map((at) => moment(at, step)),
      axisLine: { lineStyle: { color: line } },
      axisTick: { show: false },
      axisLabel: { color: text, fontSize: 11, hideOverlap: true },
    },
    yAxis: {
      type: "value",
      min: 0,
      max: most,
      minInterval: unit === "1" || unit === "token" ? 1 : undefined,
      splitNumber: 4,
      // Of shares quarters are easier to read than thirds.
      interval: unit === "score" && series.every((each) => each.values.every((value) => value <= 1)) ? 0.25 : undefined,
      axisLabel: { color: text, fontSize: 11, formatter: (value) => (value === 0 ? "0" : told(value, unit)) },
      splitLine: { lineStyle: { color: line } },
    },
    series: series.map((each, index) => drawnSeries(each, index, times)),
  };
}

function drawnSeries(each, index, times) {
  const shared = { name: each.name, data: each.values, color: colour(each, index), emphasis: { disabled: true } };
  if (each.bar) return { ...shared, type: "bar", stack: each.stack ?? "all", barMaxWidth: 28, barCategoryGap: "25%" };
  return {
    ...shared,
    type: "line",
    symbol: "circle",
    // A step beside which there is none is seen by its mark alone.
    symbolSize: (_, { dataIndex: at }) => (each.values[at - 1] == null || each.values[at + 1] == null || times.length < 40 ? 6 : 3),
    lineStyle: { width: 2, type: each.dashed ? "dashed" : "solid" },
  };
}

function tip(points, { times, step, unit, series }) {
  const at = points[0]?.dataIndex ?? 0;
  const lines = series
    .filter((each) => each.values[at] !== null && each.values[at] !== undefined)
    .map((each) => `${each.name}: ${told(each.values[at], unit)}${each.beside?.[at] ? ` (${each.beside[at]})` : ""}`);
  return [moment(times[at], Math.min(step, 59_000)), ...(lines.length ? lines : ["nothing"])].join("\n");
}

/** A chart in `box`, which is called `title`; `clicked(at, series)` hears of clicks: on no series it is null. */
export function chart(box, title, clicked) {
  const held = window.echarts.init(box, null, { renderer: "canvas" });
  let drawn = null;
  new ResizeObserver(() => held.resize()).observe(box);
  // A click on a series is heard of first, and then as one on the chart.
  let picked = null;
  held.on("click", ({ seriesIndex, event }) => {
    picked = { series: drawn.series[seriesIndex], event: event?.event };
  });
  held.getZr().on("click", ({ offsetX, offsetY, event }) => {
    const series = picked?.event === event ? picked.series : null;
    picked = null;
    if (!drawn || !held.containPixel("grid", [offsetX, offsetY])) return;
    const index = Math.round(held.convertFromPixel({ xAxisIndex: 0 }, offsetX));
    if (drawn.times[index] !== undefined) clicked(drawn.times[index], series, drawn);
  });
  const show = (what) => {
    drawn = what;
    held.setOption(options(what), { notMerge: true });
    // Who can't see it has its figures as a table.
    box.setAttribute("role", "img");
    box.setAttribute("aria-label", `${title}. A chart, whose figures are in the table below.`);
  };
  return { show, again: () => drawn && show(drawn), figures: () => drawn };
}

/** A table of figures: `columns` of [title, of a row]; a button `does` beside each that `open` hears of. */
export function table(caption, columns, rows, open, does = "Runs") {
  const head = columns.map(([title]) => el("th", { scope: "col" }, title));
  return el(
    "div.scroll",
    {},
    el(
      "table",
      {},
      el("caption", {}, caption),
      el("thead", {}, el("tr", {}, ...head, open && el("th", { scope: "col" }, el("span.unseen", {}, does)))),
      el(
        "tbody",
        {},
        ...rows.map((row) =>
          el(
            "tr",
            {},
            ...columns.map(([, of], index) => (index ? el("td", {}, of(row)) : el("th", { scope: "row" }, of(row)))),
            open && el("td", {}, el("button", { type: "button", onclick: () => open(row), "aria-label": `${does}: ${columns[0][1](row)}` }, does)),
          ),
        ),
      ),
    ),
  );
}
