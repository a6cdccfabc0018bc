// Runs before Gradio's scripts, which keep what they find here.
(() => {
  // The clock beside "Loading" sets itself anew in each frame and never ends, also after its component has gone, so
  // that an open page computes 60 times a second for nothing. While no such clock is in the page, it ticks once a second.
  const ask = window.requestAnimationFrame.bind(window);
  const isClock = (then) => String(then).includes("performance.now()-");
  window.requestAnimationFrame = (then) => {
    const unseen = isClock(then) && !document.querySelector(".progress-text");
    return unseen ? setTimeout(() => then(performance.now()), 1000) : ask(then);
  };
})();
