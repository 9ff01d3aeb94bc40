// A triplet, and a dropped row: question, both answers, why rejected is wrong, the context, and where it comes from.
"use strict";

(() => {
  const { el, said, plural } = longvpo;
  let clips = null; // table of clips

  longvpo.openClips = (table) => { clips = table; };
  const clipsOf = (numbers) => Promise.all((numbers ?? []).map((number) => clips.item(number)));
  const listed = (names) => (names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`);

  /** What a clip of a context is called, alone and after its noun. */
  const noun = (stage) => (stage === 2 ? "scene" : "clip");

  /** The clips of a context with the roles that they have for a row. */
  const roles = (item, found, stage) => {
    const anchors = new Set(item.anchors ?? []);
    const wrong = new Set(item.rejected_clips ?? []);
    return found.map((clip, place) => {
      const rejected = wrong.has(item.context[place]);
      const anchor = anchors.has(place);
      const role = anchor ? (rejected ? "both" : "anchor") : rejected ? "rejected" : "other";
      const tags = stage === 2
        ? { anchor: "relevant", both: "relevant, and seen for rejected", rejected: "rejected", other: "" }
        : { anchor: "anchor", both: "anchor, and seen for rejected", rejected: "rejected", other: "distractor" };
      const inVideo = stage === 2 && item.scenes?.[place] !== undefined && item.scenes[place] !== place + 1
        ? ` (${item.scenes[place]} of its video)` : "";
      return {
        clip, role, tag: tags[role], name: stage === 2 ? `Scene ${place + 1}${inVideo}` : String(place + 1),
        similarity: item.similarity?.[place], specificity: item.specificity?.[place],
      };
    });
  };

  /** Why rejected is wrong, in sentences. */
  const why = (item, stage, kind, missing) => {
    const number = (place) => String(place + 1);
    const seen = (item.context ?? []).map((clip, place) => [clip, place])
      .filter(([clip]) => (item.rejected_clips ?? []).includes(clip)).map(([, place]) => number(place));
    const needed = (item.anchors ?? []).map(number);
    const from = seen.length > 12 ? `${seen.length} of the ${noun(stage)}s` : `${noun(stage)}${seen.length > 1 ? "s" : ""} ${listed(seen)}`;
    const elsewhere = missing.length ? " It was written from what this context does not show." : "";
    if (!seen.length) return missing.length ? `Written from ${plural(missing.length, "clip")} that this context does not show: below.` : "The row does not say what it was written from.";
    if (kind === "partial") return `Written from ${from} only. The answer needs ${noun(stage)}s ${listed(needed)}.${elsewhere}`;
    if (kind === "irrelevant") return `Written from ${from}. What answers the question is in ${noun(stage)}${needed.length > 1 ? "s" : ""} ${listed(needed)}.${elsewhere}`;
    return `Written from ${from}, and not from ${noun(stage)} ${listed(needed)}, which the question is about.${elsewhere}`;
  };

  const words = (text) => plural(text.split(/\s+/).filter(Boolean).length, "word");

  const answer = (kind, title, text, reason) => el("section", { class: `answer ${kind}`, "aria-label": title },
    el("h3", {}, title, el("span", { class: "quiet small" }, words(text))), said("p", text, "words"),
    el("p", { class: "reason" }, reason));

  const facts = (pairs) => el("dl", { class: "facts" }, pairs.filter(([, value]) => value !== undefined && value !== "")
    .map(([name, value]) => [el("dt", {}, name), said("dd", String(value))]));

  const legend = (item) => (item.similarity || item.specificity
    ? el("p", { class: "quiet small" },
      item.similarity ? "look: cosine of the anchor’s frames to those of each clip. " : null,
      item.specificity ? "words: cosine of the question to each clip’s caption." : null)
    : null);

  longvpo.triplet = async (item, index, place) => {
    const facet = (name) => index.facets[name].names[index.facets[name].of[place]];
    const stage = Number(facet("stage").slice(-1));
    const kind = facet("rejected");
    const context = await clipsOf(item.context);
    const missing = await clipsOf((item.rejected_clips ?? []).filter((clip) => !(item.context ?? []).includes(clip)));
    const strip = longvpo.strip(roles(item, context, stage));
    longvpo.frames = strip;
    const needed = (item.anchors ?? []).map((one) => String(one + 1));
    const from = needed.length ? `Written from ${noun(stage)}${needed.length > 1 ? "s" : ""} ${listed(needed)} of ${context.length}.` : "";
    const sources = [...new Set(context.map(({ source, license }) => (license ? `${source} (${license})` : source)))];
    return el("article", {},
      el("p", { class: "kicker" }, `Stage ${stage}${item.task ? ` · ${item.task}` : ""}${item.answer_type ? ` · answer: ${item.answer_type}` : ""} · rejected: ${kind}`),
      said("h2", index.text[place], "question"),
      longvpo.marker(index.id[place]),
      el("div", { class: "answers" },
        answer("chosen", "✓ Chosen", item.chosen ?? "", from),
        answer("rejected", "✗ Rejected", item.rejected ?? "", why(item, stage, kind, missing))),
      item.trace ? el("section", { class: "trace" }, el("h3", {}, "How the answer follows"), said("p", item.trace)) : null,
      el("h3", {}, `The context: ${plural(context.length, noun(stage))}, ${index.seconds[place]} s`),
      strip.made, legend(item),
      missing.length ? el("section", { class: "outside" }, el("h3", {}, "What rejected was written from, outside of this context"),
        longvpo.strip(missing.map((clip, number) => ({ clip, role: "rejected", tag: "rejected", name: `outside ${number + 1}` }))).made) : null,
      el("details", { class: "origin", open: window.innerWidth > 860 }, el("summary", {}, "Where it comes from"),
        facts([["writer", item.writer], ["questions by", item.question_writer], ["judge", item.judge || "none"],
          ["seed", item.seed ?? 0], ["recipe", item.recipe], ["sources", sources.join(", ")],
          ["pictures", longvpo.closed.length ? `nobody said that those of ${listed(longvpo.closed)} may be published` : ""]])));
  };

  longvpo.dropped = async (item, index, place) => {
    const context = await clipsOf(item.context);
    const stage = index.facets.stage.names[index.facets.stage.of[place]] === "stage 2" ? 2 : 1;
    const strip = context.length ? longvpo.strip(roles(item, context, stage)) : null;
    longvpo.frames = strip;
    const score = item.score === undefined ? "" : ` The score is ${item.score}.`;
    return el("article", {},
      el("p", { class: "kicker" }, `Dropped by ${(item.filter ?? "").replaceAll("_", " ")}`),
      said("h2", index.text[place], "question"),
      said("p", `${item.reason ?? "no reason is stated"}.${score}`, "callout"),
      item.chosen || item.rejected ? el("div", { class: "answers" },
        item.chosen ? answer("chosen", "Chosen", item.chosen, "") : null,
        item.rejected ? answer("rejected", "Rejected", item.rejected, "") : null) : null,
      strip ? el("h3", {}, `The context: ${plural(context.length, noun(stage))}`) : null, strip?.made,
      strip ? null : el("p", { class: "quiet" }, "It was dropped before its context was put together."));
  };
})();
