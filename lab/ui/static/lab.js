// Helpers for every script of the page: JSON requests to the app, texts as they are shown, moving between its tabs.
window.lab = (() => {
  const root = () => {
    const path = new URL(window.gradio_config?.root || location.href, location.href).pathname;
    return path.replace(/\/$/, "");
  };

  class Refused extends Error {
    constructor(code, message) {
      super(message);
      this.code = code;
    }
  }

  // The answer as an object. Throws Refused with the server's code and sentence where its status is one of refusal;
  // with E_OFFLINE where nothing answers, with E_HTTP where what answers does not speak as the app does.
  async function post(action, body = {}, seconds = 20) {
    let answer, text;
    try {
      answer = await fetch(`${root()}/lab/${action}`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(seconds * 1000),
      });
      text = await answer.text();
    } catch (error) {
      throw new Refused("E_OFFLINE", "The app does not answer. Is it still running?");
    }
    const found = parsed(text);
    if (!answer.ok && found?.error) throw new Refused(found.error.code, found.error.message);
    if (!answer.ok || found === undefined) {
      throw new Refused("E_HTTP", `The app answered with status ${answer.status} and without a reason. Try again.`);
    }
    return found;
  }

  // What JSON says; undefined where it is none.
  function parsed(text) {
    try {
      return JSON.parse(text);
    } catch {
      return undefined;
    }
  }

  const tabButton = (name) => document.getElementById(`tab-${name}-button`);

  function tab(name) {
    tabButton(name)?.click();
  }

  // A text as it is shown: characters that turn the reading direction or cannot be seen stand there by their numbers.
  const UNSEEN = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
  const number = (letter) => letter.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0");
  const visible = (text) => String(text ?? "").replace(UNSEEN, (letter) => `⟦U+${number(letter)}⟧`);

  // The address names the open tab, so that a reload and the browser's Back lead to it; without a name it is the first one shown.
  const named = () => location.hash.slice(1) || "rank";

  function reopen() {
    if (tabButton(named())?.getAttribute("aria-selected") !== "true") tab(named());
  }

  window.addEventListener("hashchange", reopen);
  document.addEventListener("click", (event) => {
    const name = event.target.closest("[role=tab]")?.id.match(/^tab-(\w+)-button$/)?.[1];
    if (name && name !== named()) location.hash = name;
  });

  function make(tag, classes = "", text = null) {
    const node = document.createElement(tag);
    if (classes) node.className = classes;
    if (text !== null) node.textContent = visible(text);
    return node;
  }

  // What this browser tab remembers over a reload; where a browser forbids that, as to a page in another's frame, until then.
  const memory = new Map();
  const session = {
    get(name) {
      try { return sessionStorage.getItem(name); } catch { return memory.get(name) ?? null; }
    },
    set(name, text) {
      try { sessionStorage.setItem(name, text); } catch { memory.set(name, text); }
    },
  };

  // One name for this browser tab; it survives a reload, and two tabs never share it.
  function tabId() {
    let id = session.get("lab-tab");
    if (!id) session.set("lab-tab", (id = key()));
    return id;
  }

  // crypto.randomUUID is missing on plain http from another machine; getRandomValues is not.
  function key() {
    return [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");
  }

  return { post, tab, reopen, make, visible, session, tabId, key, root, Refused };
})();
