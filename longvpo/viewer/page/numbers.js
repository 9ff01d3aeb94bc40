// What the build measured: distributions, rules that never look at the question, and what each step dropped.
"use strict";

(() => {
  const { el, count } = longvpo;
  const FIFTHS = ["first fifth", "second", "third", "fourth", "last fifth"];
  const percent = (share) => `${(100 * share).toFixed(1)} %`;

  const card = (title, about, ...children) => el("section", { class: "card" }, el("h3", {}, title),
    about ? el("p", { class: "quiet small" }, about) : null, children);

  /** Bars as a table. @param rows each: name and values, one a series; @param series names of the values */
  const bars = (rows, series, first, told = (value) => count(value)) => {
    const most = Math.max(...rows.flatMap(([, values]) => values), 1e-9);
    const line = (name, value, number, head) => {
      const filled = el("span", { class: `filled series-${number}` });
      filled.style.width = `${(100 * value) / most}%`;
      return el("tr", {}, head ? el("th", { scope: "row", rowSpan: series.length }, name) : null,
        series.length > 1 ? el("td", { class: "series" }, series[number]) : null,
        el("td", { class: "wide" }, el("span", { class: "track" }, filled)), el("td", { class: "number" }, told(value)));
    };
    return el("table", { class: "bars" }, el("thead", { class: "hidden" }, el("tr", {}, el("th", {}, first),
      series.length > 1 ? el("th", {}, "of") : null, el("th", {}, "bar"), el("th", {}, "rows"))),
    el("tbody", {}, rows.map(([name, values]) => values.map((value, number) => line(name, value, number, number === 0)))));
  };

  const histogram = (found, first) => bars(Object.entries(found).map(([name, value]) => [name, [value]]), ["rows"], first);

  const depth = ({ observed, expected }) => bars(
    observed.map((value, number) => [FIFTHS[number], [value, expected[number]]]), ["found", "if even"], "place",
    (value) => count(Math.round(value)));

  const lengths = ({ chosen, rejected }) => {
    const names = [...new Set([...Object.keys(chosen.histogram), ...Object.keys(rejected.histogram)])]
      .sort((one, other) => parseFloat(one) - parseFloat(other));
    return bars(names.map((name) => [name, [chosen.histogram[name] ?? 0, rejected.histogram[name] ?? 0]]), ["chosen", "rejected"], "words");
  };

  /** Rules, each as a mark on a line from rejected to chosen, with three standard errors of chance around a half. */
  const rules = (found) => el("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": "Rules" }, el("table", { class: "rules" },
    el("thead", {}, el("tr", {}, el("th", {}, "rule"), el("th", { class: "wide" }, el("span", { class: "ends" }, el("span", {}, "rejected"), el("span", {}, "50 %"), el("span", {}, "chosen"))), el("th", { class: "number" }, "points at chosen"), el("th", { class: "number" }, "rows"), el("th", {}, ""))),
    el("tbody", {}, found.filter(({ chosen }) => chosen !== null).map(({ rule, chosen, error, rows, learnt }) => {
      const limit = Math.max(0.05, 3 * error);
      const away = learnt ? chosen - 0.5 > limit : Math.abs(chosen - 0.5) > limit;
      const chance = el("span", { class: "chance" });
      chance.style.left = `${100 * Math.max(0.5 - limit, 0)}%`;
      chance.style.width = `${100 * Math.min(2 * limit, 1)}%`;
      const dot = el("span", { class: away ? "dot away" : "dot" });
      dot.style.left = `${100 * chosen}%`;
      return el("tr", {}, el("th", { scope: "row" }, rule), el("td", { class: "wide" }, el("span", { class: "scale", "aria-hidden": "true" }, chance, dot)),
        el("td", { class: "number" }, `${percent(chosen)} ± ${(100 * error).toFixed(1)}`), el("td", { class: "number rows" }, count(rows)),
        el("td", {}, away ? el("strong", { class: "warn" }, "gives it away") : el("span", { class: "quiet" }, "chance")));
    }))));
  const idle = (found) => {
    const names = found.filter(({ chosen }) => chosen === null).map(({ rule }) => rule);
    return names.length ? el("p", { class: "quiet small" }, `Rules that do not apply here: ${names.join(", ")}.`) : null;
  };

  const funnel = (steps) => el("table", { class: "plain" }, el("thead", {}, el("tr", {}, el("th", {}, "step"), el("th", { class: "number" }, "dropped"), el("th", { class: "number" }, "left"))),
    el("tbody", {}, steps.filter(({ dropped, left }, place) => dropped || place === 0 || left !== steps[place - 1].left).map(({ step, dropped, left }) => el("tr", {}, el("th", { scope: "row" }, step.replaceAll("_", " ")),
      el("td", { class: "number" }, dropped ? count(dropped) : ""), el("td", { class: "number" }, count(left))))));

  const blind = (said) => (said.not_run ? `not run (${said.not_run})` : `${percent(said.prefers_chosen)} ± ${(100 * said.error).toFixed(1)} of ${count(said.rows)} rows`);

  const stage = (number, part, textOnly) => {
    const clips = part.clips_a_context ?? part.scenes_a_context;
    const noun = number === 1 ? "clips" : "scenes";
    return el("section", { class: "numbers" }, el("h2", {}, `Stage ${number}: ${count(part.triplets)} triplets`),
      part.shortcuts ? card("Rules that never look at the question", "Each picks an answer without the question. Around 50 % it tells nothing: the grey band is chance. Outside of it, training may learn the rule instead of looking. ± is one standard error; the grey band is three of them, and at least 5 points, to each side of 50 %.", rules(part.shortcuts), idle(part.shortcuts)) : null,
      el("div", { class: "cards" },
        part.anchor_depth ? card(number === 1 ? "Where the anchor stands" : "Where the relevant scenes stand", "Number of rows, beside what an even spread would give.", depth(part.anchor_depth)) : null,
        Object.entries(part.rejected_depth ?? {}).map(([kind, found]) => card(`Where rejected was written from: ${kind}`, "Number of rows, beside what an even spread would give.", depth(found))),
        clips ? card(`${noun[0].toUpperCase()}${noun.slice(1)} a context`, "", histogram(clips, noun)) : null,
        part.seconds_a_context ? card("Seconds of video a context", `Median ${count(part.seconds_a_context.median)}.`, histogram(part.seconds_a_context.histogram, "seconds")) : null,
        part.answer_words ? card("Words of an answer", `Chosen ${part.answer_words.chosen.mean.toFixed(1)} on average, rejected ${part.answer_words.rejected.mean.toFixed(1)}. Chosen is longer in ${percent(part.answer_words.chosen_is_longer)}, equal lengths counted half.`, lengths(part.answer_words)) : null,
        textOnly ? card("Without any video", "How often the texts alone prefer chosen; at 50 % they tell nothing. ± is one standard error.", el("table", { class: "plain" }, el("tbody", {},
          el("tr", {}, el("th", { scope: "row" }, "a language model"), el("td", { class: "number" }, blind(textOnly))),
          textOnly.classifier ? el("tr", {}, el("th", { scope: "row" }, "a classifier of words"), el("td", { class: "number" }, blind(textOnly.classifier))) : null))) : null,
        part.funnel ? card("From rows to triplets", "The steps that dropped something.", funnel(part.funnel)) : null));
  };

  longvpo.numbers = (facts) => el("div", { class: "page" },
    (facts.warnings ?? []).map((text) => el("p", { class: "callout" }, `${text}.`)),
    [1, 2].map((number) => (facts[`stage${number}`] ? stage(number, facts[`stage${number}`], facts.text_only?.[`stage${number}`]) : null)),
    facts.sources?.length ? card("Sources", "", el("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": "Sources" }, el("table", { class: "plain" },
      el("thead", {}, el("tr", {}, ["source", "stage", "dataset", "clips", "hours", "licence", "may be published"].map((name) => el("th", {}, name)))),
      el("tbody", {}, facts.sources.map((one) => el("tr", {}, el("th", { scope: "row" }, one.name), [one.stage, one.dataset || "a folder", count(one.clips), one.hours, one.license, one.redistribution ? "yes" : "no"].map((value) => el("td", {}, String(value))))))))) : null);
})();
