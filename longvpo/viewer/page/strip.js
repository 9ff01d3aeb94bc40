// The context as a strip of clips, and one clip of it looked at frame by frame.
"use strict";

(() => {
  const { el, said, plural } = longvpo;
  const SIGNS = { anchor: "★", rejected: "✗", both: "★✗", other: "" };

  /** A frame of a clip, cut out of its strip of frames; null where it has no pictures. */
  const frame = (clip, number, box) => {
    if (!clip.strip) return null;
    const [name, wide, high, frames] = clip.strip;
    const image = el("img", { src: `frames/${name}.jpg`, alt: "", loading: "lazy", decoding: "async", draggable: false });
    const holder = el("span", { class: "frame" }, image);
    holder.style.aspectRatio = `${wide} / ${high}`;
    holder.style[wide / high > box ? "width" : "height"] = "100%";
    place(image, number, frames);
    return holder;
  };

  const place = (image, number, frames) => {
    image.style.objectPosition = `${frames > 1 ? (100 * number) / (frames - 1) : 0}% 0`;
  };

  const frames = (clip) => clip.strip?.[3] ?? 0;
  const seconds = (clip) => `${(clip.end - clip.start).toFixed(1)} s`;
  const span = (clip) => `${clip.start.toFixed(1)} to ${clip.end.toFixed(1)} s of ${clip.video}`;

  const bar = (name, value) => {
    const filled = el("span", { class: "filled" });
    filled.style.width = `${100 * Math.min(Math.max(value, 0), 1)}%`;
    return el("span", { class: "bar" }, el("span", { class: "bar-name" }, name),
      el("span", { class: "track", "aria-hidden": "true" }, filled), el("span", { class: "number" }, value.toFixed(2).replace(/^-0\.00$/, "0.00")));
  };

  /**
   * @param clips each: clip, name, role (anchor, rejected, both, other), tag: its role in words, similarity,
   *   specificity
   */
  longvpo.strip = (clips) => {
    let at = Math.max(clips.findIndex(({ role }) => role === "anchor" || role === "both"), 0);
    let now = 0; // frame of that clip

    const cards = clips.map((one, number) => {
      const picture = frame(one.clip, Math.floor(frames(one.clip) / 2), 16 / 10);
      return el("button", { type: "button", class: `clip ${one.role}`, onclick: () => look(number, 0) },
        el("span", { class: "picture" }, picture ?? el("span", { class: "named", dir: "auto" }, one.clip.caption || one.clip.video)),
        el("span", { class: "label" }, el("span", { class: "which" }, one.name),
          el("span", { class: "tag" }, `${SIGNS[one.role]} ${one.tag}`.trim())),
        one.similarity === undefined ? null : bar("look", one.similarity),
        one.specificity === undefined ? null : bar("words", one.specificity));
    });

    const stage = el("div", { class: "stage" });
    const thumbs = el("div", { class: "thumbs" });
    const title = el("p", { class: "clip-title", "aria-live": "polite" });
    const caption = said("p", "", "caption");
    const details = el("p", { class: "quiet small" });
    const button = (label, sign, keys, act) => el("button", { type: "button", "aria-label": label, "aria-keyshortcuts": keys, onclick: act }, sign);
    const before = button("Frame before", "‹ frame", "ArrowLeft", () => step(-1));
    const after = button("Next frame", "frame ›", "ArrowRight", () => step(1));
    const looked = el("section", { class: "looked", "aria-label": "One clip, frame by frame" }, stage,
      el("div", { class: "about" }, title, caption, details, el("div", { class: "steps" }, before, after), thumbs));

    const look = (number, first) => {
      const { clip, name, tag } = clips[number];
      at = number;
      cards.forEach((card, other) => card.setAttribute("aria-pressed", String(other === at)));
      stage.replaceChildren(frame(clip, 0, 16 / 9) ?? "");
      looked.classList.toggle("bare", !clip.strip);
      thumbs.replaceChildren(...Array.from({ length: frames(clip) }, (_, other) => el("button", {
        type: "button", class: "thumb", "aria-label": `Frame ${other + 1} of ${frames(clip)}`, onclick: () => show(other),
      }, frame(clip, other, 16 / 10))));
      caption.textContent = clip.caption ?? "";
      details.replaceChildren(`${span(clip)} · source ${clip.source}${clip.license ? ` · licence ${clip.license}` : ""}`
        + (clip.strip ? "" : " · no pictures: make the page with --videos SOURCE=FOLDER, or with more --rows"));
      title.dataset.name = `${/^\d/.test(name) ? "Clip " : ""}${name}${tag ? `, ${tag}` : ""}, ${seconds(clip)}`;
      show(first);
    };

    const show = (number) => {
      const { clip } = clips[at];
      now = number;
      const many = frames(clip);
      const image = stage.querySelector("img");
      if (image) {
        place(image, now, many);
        image.alt = `Frame ${now + 1} of ${many}${clip.caption ? `: ${clip.caption}` : ""}`;
      }
      [...thumbs.children].forEach((one, other) => one.setAttribute("aria-pressed", String(other === now)));
      title.textContent = many ? `${title.dataset.name} · frame ${now + 1} of ${many}` : title.dataset.name;
      before.disabled = now === 0 && at === 0;
      after.disabled = now >= many - 1 && at === clips.length - 1;
    };

    /** The next frame, or that before; past the end of a clip, the clip beside it. */
    const step = (by) => {
      const to = now + by;
      if (to >= 0 && to < frames(clips[at].clip)) show(to);
      else if (clips[at + by]) look(at + by, by > 0 ? 0 : Math.max(frames(clips[at + by].clip) - 1, 0));
    };

    const move = (by) => clips[at + by] && look(at + by, 0);

    const toAnchor = () => {
      const order = clips.map((_, number) => (at + 1 + number) % clips.length);
      const to = order.find((number) => ["anchor", "both"].includes(clips[number].role));
      if (to !== undefined) look(to, 0);
    };

    if (clips.length) look(at, 0);
    return {
      made: el("div", { class: "context" }, looked,
        el("ol", { class: "strip", "aria-label": `The context: ${plural(clips.length, "clip")}, in order` },
          cards.map((card) => el("li", {}, card)))),
      step, move, toAnchor,
    };
  };
})();
