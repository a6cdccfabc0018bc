"""What stood in the open windows when a test failed, for a report that is all that is left of them."""

from __future__ import annotations

from playwright.sync_api import Browser, Error

STATE = """() => {
    const shown = (node) => node.checkVisibility?.() ?? true;
    const named = (node) => (node.dataset.part ?? "") + (node.classList.contains("is-offline") ? " (offline)" : "");
    const asked = performance.getEntriesByType("resource").filter((each) => each.name.includes("/lab/"));
    const said = ({ name, responseStatus, duration }) =>
        `${name.split("/lab/")[1]} ${responseStatus} in ${Math.round(duration)} ms`;
    return {
        address: location.href,
        tab: document.querySelector("[role=tab][aria-selected=true]")?.textContent.trim() ?? "none",
        unseen: document.hidden,
        focus: `${document.activeElement?.tagName} ${document.activeElement?.id}`,
        parts: [...document.querySelectorAll(".live")].filter(shown).map(named),
        chosen: window.labChosen ?? {},
        asked: asked.slice(-12).map(said),
        refused: asked.filter((each) => each.responseStatus >= 400 || !each.responseStatus).slice(-12).map(said),
        words: document.body.innerText.slice(0, 3000),
    };
}"""


def told(browser: Browser) -> str:
    """Each open window: its address and tab, which parts can be seen or have lost the app, what it asked for last."""
    return "\n\n".join(_told(page) for context in browser.contexts for page in context.pages)


def _told(page) -> str:
    try:
        state = page.wait_for_function(STATE, timeout=5000).json_value()  # evaluate would wait for ever
    except Error as gone:
        return f"a window that does not answer: {gone}"
    return "\n".join(f"{name}: {value}" for name, value in state.items())
