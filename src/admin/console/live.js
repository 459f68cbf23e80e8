// Adds decisions to the list as they come. Without it, the list is as old as the page.
"use strict";

(() => {
  const list = document.querySelector("[data-stream]");
  if (!list || !window.EventSource) return;
  const rows = list.querySelector("tbody");
  const state = document.getElementById("live-state");
  const bar = document.getElementById("live-bar");
  const pause = document.getElementById("live-pause");
  const none = document.getElementById("live-none");
  const most = Number(list.dataset.most);
  let last = list.dataset.last;
  let source = null;
  let added = 0;
  let said = 0;

  // A screen reader is told now and then, not of each row.
  const say = (text) => {
    if (state.textContent !== text) state.textContent = text;
  };
  const count = () => {
    const now = Date.now();
    if (added && now - said > 5000) {
      say(added === 1 ? "Live: 1 decision has come." : `Live: ${added} decisions have come.`);
      said = now;
    }
  };

  const add = (event) => {
    last = event.lastEventId;
    const template = document.createElement("template");
    template.innerHTML = event.data;
    const fresh = [...template.content.querySelectorAll("tr")];
    fresh.forEach((row) => row.classList.add("fresh"));
    rows.prepend(...fresh);
    while (rows.children.length > most) rows.lastElementChild.remove();
    if (none) none.hidden = true;
    list.hidden = false;
    added += fresh.length;
    count();
  };

  const stop = (text) => {
    if (source) source.close();
    source = null;
    say(text);
  };

  const start = () => {
    const url = new URL(list.dataset.stream, location.href);
    url.searchParams.set("after", last);
    source = new EventSource(url);
    source.addEventListener("open", () => say("Live."));
    source.addEventListener("decisions", add);
    source.addEventListener("end", () => stop("Not live any more: load the page again."));
    source.addEventListener("error", () => {
      // CLOSED: refused, for example because the session has ended. Otherwise the browser tries again.
      if (source.readyState === EventSource.CLOSED) stop("Not live: load the page again.");
      else say("Not connected. Trying again.");
    });
  };

  pause.addEventListener("change", () => (pause.checked ? stop("Paused.") : start()));
  bar.hidden = false;
  start();
  window.addEventListener("pagehide", () => stop("Paused."));
  window.addEventListener("pageshow", (event) => {
    if (event.persisted && !pause.checked) start();
  });
})();
