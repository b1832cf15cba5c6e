// <metric-chart>: lines of metrics by step, drawn by uPlot (loaded before as a script of its own). The numbers are in its
// attribute `data`: {"steps": [..], "lines": [{"name": "..", "values": [..]}]}. Drag to zoom, double click to come back.
const DASHES = [[], [6, 3], [2, 2], [8, 3, 2, 3]];

class MetricChart extends HTMLElement {
  static observedAttributes = ["data"];

  connectedCallback() {
    this.resized = new ResizeObserver(() => this.chart?.setSize({ width: this.clientWidth, height: 220 }));
    this.dark = matchMedia("(prefers-color-scheme: dark)");
    this.redraw = () => this.draw();
    this.dark.addEventListener("change", this.redraw);
    this.draw();
    this.resized.observe(this);
  }

  disconnectedCallback() {
    this.resized.disconnect();
    this.dark.removeEventListener("change", this.redraw);
    this.chart?.destroy();
  }

  attributeChangedCallback(name, before, now) {
    if (before !== null && before !== now && this.isConnected) this.draw();
  }

  draw() {
    this.chart?.destroy();
    const { steps, lines } = JSON.parse(this.getAttribute("data"));
    const style = getComputedStyle(this);
    const colour = (name) => style.getPropertyValue(name).trim();
    const colours = ["--accent", "--v-next", "--ok", "--wait", "--alarm", "--note"].map(colour);
    const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
    const series = lines.map((line, n) => ({
      label: line.name,
      stroke: colours[n % colours.length],
      dash: DASHES[Math.floor(n / colours.length) % DASHES.length],
      width: 1.5,
      spanGaps: true,
      points: { show: steps.length < 60 },
    }));
    this.replaceChildren();
    this.chart = new uPlot(
      {
        width: this.clientWidth || 600,
        height: 220,
        scales: { x: { time: false } },
        axes: [axis, { ...axis, size: 56 }],
        series: [{ label: "step" }, ...series],
      },
      [steps, ...lines.map((line) => line.values)],
      this,
    );
  }
}

customElements.define("metric-chart", MetricChart);
