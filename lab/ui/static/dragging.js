// Drag by mouse or touch: a handle with data-answer, dropped between two chips, onto a chip or onto another card (a tie).
function makeDragging(area, strip, drop) {
  const FAR = 6; // pixels before a press becomes a drag, so that a click stays one
  let drag = null;

  function target(x, y) {
    const over = document.elementFromPoint(x, y);
    const node = over?.closest("[data-answer]");
    if (node && area.contains(node)) {
      const other = Number(node.dataset.answer);
      const box = node.getBoundingClientRect();
      const part = (x - box.left) / box.width;
      const onChip = strip.contains(node);
      if (onChip && part < 0.3) return { node, kind: "before", other };
      if (onChip && part > 0.7) return { node, kind: "after", other };
      return { node, kind: "tie", other };
    }
    return strip.contains(over) ? { node: strip, kind: "last" } : null;
  }

  function mark(found) {
    area.querySelectorAll("[data-drop]").forEach((node) => delete node.dataset.drop);
    if (found) found.node.dataset.drop = found.kind;
  }

  function move(event) {
    if (!drag) return;
    if (!drag.ghost && Math.hypot(event.clientX - drag.x, event.clientY - drag.y) > FAR) {
      drag.ghost = lab.make("div", "board-ghost", drag.label);
      document.body.append(drag.ghost);
    }
    if (!drag.ghost) return;
    event.preventDefault();
    drag.ghost.style.transform = `translate(${event.clientX + 10}px, ${event.clientY + 10}px)`;
    mark(target(event.clientX, event.clientY));
  }

  function end(event) {
    if (!drag) return;
    const { answer, ghost } = drag;
    const found = ghost && event.type === "pointerup" ? target(event.clientX, event.clientY) : null;
    ghost?.remove();
    mark(null);
    drag = null;
    removeEventListener("pointermove", move);
    if (ghost) swallowClick();
    if (found) drop(answer, found);
  }

  // The click that follows a drop is not a pick.
  function swallowClick() {
    const stop = (event) => event.stopPropagation();
    addEventListener("click", stop, { capture: true, once: true });
    setTimeout(() => removeEventListener("click", stop, { capture: true }), 0);
  }

  area.addEventListener("pointerdown", (event) => {
    const handle = event.target.closest("[data-handle]");
    if (!handle || event.button) return;
    const answer = Number(handle.closest("[data-answer]").dataset.answer);
    drag = { answer, label: handle.dataset.handle, x: event.clientX, y: event.clientY, ghost: null };
    addEventListener("pointermove", move, { passive: false });
    addEventListener("pointerup", end, { once: true });
    addEventListener("pointercancel", end, { once: true });
  });
}
