// Plotly from the installed package, never from elsewhere, and the colours of the page for it.
const LIGHT = ["#0f766e", "#b45309", "#4f46e5", "#be185d", "#0369a1", "#4d7c0f", "#7c3aed", "#475569"];
const DARK = ["#2dd4bf", "#fbbf24", "#a5b4fc", "#f472b6", "#38bdf8", "#a3e635", "#c4b5fd", "#cbd5e1"];
const isDark = () => document.body.classList.contains("dark");
const css = (name) => getComputedStyle(document.querySelector(".gradio-container") ?? document.body).getPropertyValue(name).trim();
const colour = (index) => (isDark() ? DARK : LIGHT)[index % LIGHT.length];
// Plotly reads a little markup in labels: what people typed must not become any.
const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

function loadPlotly() {
  window.labPlotly ??= new Promise((done, failed) => {
    const script = document.createElement("script");
    script.src = `${window.lab.root()}/gradio_api/file=${props.plotly}`;
    script.onload = () => done(window.Plotly);
    script.onerror = () => failed(new Error("The plotting library could not be loaded from the app."));
    document.head.append(script);
  });
  return window.labPlotly;
}

function baseLayout(height) {
  const ink = css("--body-text-color-subdued"), line = css("--border-color-primary");
  const axis = { gridcolor: line, zeroline: false, linecolor: line, tickfont: { size: 11 }, automargin: true };
  return {
    height, margin: { l: 40, r: 8, t: 14, b: 24 }, showlegend: false, hovermode: "x",
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: ink, size: 11, family: css("--font") || "sans-serif" },
    hoverlabel: { bgcolor: css("--background-fill-primary"), bordercolor: line, font: { color: css("--body-text-color"), size: 12 } },
    xaxis: { ...axis, showgrid: false }, yaxis: { ...axis }, shapes: [], annotations: [],
  };
}

function onTheme(paint) {
  new MutationObserver(paint).observe(document.body, { attributes: true, attributeFilter: ["class"] });
}
