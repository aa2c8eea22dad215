// Keeps an open page up to date: replaces the parts that the daemon sends, counts ages on, and says so when the
// picture is old. Everything the page shows is made by the daemon; nothing here builds HTML.
"use strict";

(() => {
  // The daemon says something every 4 seconds; three times nothing is a lost daemon.
  const SILENCE_MS = 12_000;
  const RETRY_MS = 2_000;
  const body = document.body;
  const stale = document.getElementById("stale");
  const news = document.getElementById("news");
  const stamp = document.getElementById("stamp");

  // Ages are counted in the daemon's clock: this one may be off.
  let ahead = Date.parse(body.dataset.now) - Date.now();
  const now = () => Date.now() + ahead;

  const coarse = (seconds) =>
    seconds < 60 ? `${seconds} s`
    : seconds < 3600 ? `${Math.floor(seconds / 60)} min`
    : seconds < 172800 ? `${Math.floor(seconds / 3600)} h`
    : `${Math.floor(seconds / 86400)} days`;

  const phrase = (at, form) => {
    const passed = (form === "in" ? at - now() : now() - at) / 1000;
    const seconds = Math.max(0, Math.floor(passed));
    if (form === "for") return coarse(seconds);
    if (seconds === 0) return "now";
    return form === "in" ? `in ${coarse(seconds)}` : `${coarse(seconds)} ago`;
  };

  const countOn = () => {
    for (const time of document.querySelectorAll("time[data-form]")) {
      const text = phrase(Date.parse(time.dateTime), time.dataset.form);
      if (time.textContent !== text) time.textContent = text;
    }
  };

  // What has the focus keeps it, and what was unfolded stays so.
  const replace = (id, html) => {
    const old = document.getElementById(id);
    if (!old) return;
    const template = document.createElement("template");
    template.innerHTML = html;
    const fresh = template.content.firstElementChild;
    const focused = old.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    const unfolded = [...old.querySelectorAll("details")].map((one) => one.open);
    fresh.querySelectorAll("details").forEach((one, place) => { one.open = unfolded[place] ?? false; });
    if (id === "crashes") tellNews(old, fresh);
    old.replaceWith(fresh);
    if (focused) fresh.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  };

  const tellNews = (old, fresh) => {
    const first = fresh.querySelector("li.crash");
    if (first && !old.querySelector(`#${CSS.escape(first.id)}`)) news.textContent = `New crash. ${first.dataset.news}`;
  };

  let heard = Date.now();
  let seen = body.dataset.seen;
  let source = null;
  let retry = null;

  const freshen = (turn) => {
    heard = Date.now();
    ahead = Date.parse(turn.now) - heard;
    body.dataset.now = turn.now;
    stale.hidden = true;
    body.classList.remove("old");
    stamp.querySelector("time").setAttribute("datetime", turn.now);
    stamp.querySelector("time").title = turn.now;
    countOn();
    if (turn.assets !== body.dataset.assets) location.reload();
  };

  const grumble = () => {
    const clock = new Date(Date.parse(body.dataset.now)).toLocaleTimeString();
    const since = coarse(Math.max(0, Math.floor((now() - Date.parse(body.dataset.now)) / 1000)));
    const text = `Stale since ${clock} (${since}): the daemon is not heard. Trying again…`;
    body.classList.add("old");
    if (stale.hidden) {
      stale.hidden = false;
      stale.textContent = text;
    } else if (stale.textContent !== text) {
      stale.textContent = text;
    }
  };

  const connect = () => {
    clearTimeout(retry);
    retry = null;
    if (source) source.close();
    const address = new URL(body.dataset.events, location.href);
    address.searchParams.set("seen", seen);
    source = new EventSource(address);
    source.addEventListener("part", (event) => {
      const part = JSON.parse(event.data);
      replace(part.id, part.html);
    });
    source.addEventListener("turn", (event) => {
      seen = event.lastEventId;
      freshen(JSON.parse(event.data));
    });
    source.addEventListener("reload", () => location.reload());
    source.addEventListener("error", () => {
      grumble();
      // One that was refused does not come back by itself.
      if (source.readyState === EventSource.CLOSED) retry ??= setTimeout(connect, RETRY_MS);
    });
  };

  setInterval(() => {
    countOn();
    if (!body.dataset.events || Date.now() - heard < SILENCE_MS) {
      if (body.classList.contains("old")) grumble();
      return;
    }
    grumble();
    // A connection that neither speaks nor breaks is opened anew, each time after the same silence.
    if ((Date.now() - heard) % SILENCE_MS < 1000) connect();
  }, 1000);

  countOn();
  if (body.dataset.events) connect();
})();
