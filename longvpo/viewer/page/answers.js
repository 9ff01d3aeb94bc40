// Results: accuracies with their intervals, and the answers of base and adapters side by side.
"use strict";

(() => {
  const { el, said, count } = longvpo;

  const table = ({ title, column, groups, questions, rows }, models) => el("section", { class: "card" }, el("h3", {}, title),
    el("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": title }, el("table", { class: "plain" },
      el("thead", {}, el("tr", {}, el("th", {}, column), groups.map((group) => el("th", { class: "number" }, group)))),
      el("tbody", {}, [...models.filter((name) => rows[name]), ...Object.keys(rows).filter((name) => !models.includes(name))].map((model) =>
        el("tr", {}, el("th", { scope: "row" }, model), groups.map((group) => el("td", { class: "number" }, rows[model][group] ?? "")))),
      el("tr", { class: "quiet" }, el("th", { scope: "row" }, "questions"), groups.map((group) => el("td", { class: "number" }, count(questions[group] ?? 0))))))));

  longvpo.results = ({ tables, models, warnings, scoring, intervals, quoted }) => el("div", { class: "page" },
    warnings.map((text) => el("p", { class: "callout" }, `${text}.`)),
    quoted ? el("p", { class: "callout" }, "No answers.jsonl is beside these results: only the wrong answers that they quote are shown.") : null,
    tables.map((one) => table(one, models)),
    [scoring, intervals].filter(Boolean).map((text) => el("p", { class: "quiet" }, text)));

  longvpo.answer = async (item, index, place) => {
    longvpo.frames = null;
    return el("article", {},
      el("p", { class: "kicker" }, [item.where, item.task].filter(Boolean).join(" · ")),
      said("h2", index.text[place], "question"),
      item.options ? el("ol", { class: "options", type: "A" }, item.options.map((option) => said("li", option))) : null,
      el("p", { class: "callout" }, "True: ", said("strong", (item.answers ?? []).join(" or "))),
      el("div", { class: "answers" }, item.replies.map(({ model, reply, right, reason, cut }) =>
        el("section", { class: `answer ${right ? "chosen" : "rejected"}`, "aria-label": model },
          el("h3", {}, `${right ? "✓" : "✗"} ${model}`, el("span", { class: "quiet small" }, right ? "right" : "wrong")),
          said("p", reply || "(no answer)", "words"),
          cut ? el("p", { class: "reason" }, "The reply was cut at max_new_tokens.") : null,
          reason ? said("p", reason, "reason") : null))));
  };
})();
