// Collapsed Gibbs sampling of LDA on the bars of Griffiths & Steyvers (2004): notebook 02 in a hundred lines.

/** Random numbers in [0, 1) from a seed (mulberry32). */
function seeded(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Documents whose topics are the five rows and five columns of a square, and a chain that looks for them. */
class Bars {
  constructor(seed = 0, { side = 5, documents = 400, length = 100, alpha = 1, beta = 0.5 } = {}) {
    Object.assign(this, { side, documents, length, alpha, beta, nTopics: 2 * side, nTerms: side * side, sweeps: 0 });
    this.random = seeded(seed);
    this.bars = Array.from({ length: this.nTopics }, (_, bar) =>
      Array.from({ length: side }, (_, i) => (bar < side ? bar * side + i : i * side + bar - side))
    );
    this.terms = Array.from({ length: documents }, () => this.#write());
    this.topics = this.terms.map((terms) => terms.map(() => Math.floor(this.random() * this.nTopics)));
    this.perDocument = this.terms.map(() => new Array(this.nTopics).fill(0));
    this.perTerm = Array.from({ length: this.nTopics }, () => new Array(this.nTerms).fill(0));
    this.perTopic = new Array(this.nTopics).fill(0);
    this.terms.forEach((terms, d) => terms.forEach((term, i) => this.#count(d, term, this.topics[d][i], 1)));
  }

  /** One document: shares of the bars from a uniform Dirichlet distribution, then its terms. */
  #write() {
    const shares = this.bars.map(() => -Math.log(1 - this.random()));
    return Array.from({ length: this.length }, () => {
      const bar = this.bars[this.#draw(shares)];
      return bar[Math.floor(this.random() * this.side)];
    });
  }

  #draw(weights) {
    let left = this.random() * weights.reduce((a, b) => a + b, 0);
    for (let k = 0; k < weights.length; k++) if ((left -= weights[k]) < 0) return k;
    return weights.length - 1;
  }

  #count(d, term, topic, change) {
    this.perDocument[d][topic] += change;
    this.perTerm[topic][term] += change;
    this.perTopic[topic] += change;
  }

  /** Resample the topic of every token once, given all the others: equation (5) of notebook 02. */
  sweep() {
    const weights = new Array(this.nTopics);
    this.terms.forEach((terms, d) =>
      terms.forEach((term, i) => {
        this.#count(d, term, this.topics[d][i], -1);
        for (let k = 0; k < this.nTopics; k++)
          weights[k] =
            ((this.perDocument[d][k] + this.alpha) * (this.perTerm[k][term] + this.beta)) /
            (this.perTopic[k] + this.nTerms * this.beta);
        this.topics[d][i] = this.#draw(weights);
        this.#count(d, term, this.topics[d][i], 1);
      })
    );
    this.sweeps += 1;
  }

  /** A topic's distribution over the terms. */
  topic(k) {
    return this.perTerm[k].map((count) => (count + this.beta) / (this.perTopic[k] + this.nTerms * this.beta));
  }

  /** How many bars have a topic that shares at least `overlap` of its probability with them. */
  found(overlap = 0.8) {
    const topics = Array.from({ length: this.nTopics }, (_, k) => this.topic(k));
    const shared = (bar, topic) => bar.reduce((sum, term) => sum + Math.min(topic[term], 1 / this.side), 0);
    return this.bars.filter((bar) => topics.some((topic) => shared(bar, topic) >= overlap)).length;
  }
}

/** Show the chain in a box of the page: a few documents, the topics, and two buttons. */
function showBars(box) {
  const words = box.dataset;
  const seedOfPage = 7;
  let chain, timer;
  const squares = (where, n) => {
    where.replaceChildren(
      ...Array.from({ length: n }, () => Object.assign(document.createElement("canvas"), { width: 5, height: 5 }))
    );
    return [...where.children];
  };
  const documents = squares(box.querySelector(".documents"), 8);
  const topics = squares(box.querySelector(".topics"), 10);
  const paint = (canvas, values) => {
    const context = canvas.getContext("2d");
    const image = context.createImageData(5, 5);
    const most = Math.max(...values);
    values.forEach((value, i) => {
      const shade = value / most;
      image.data.set([255 - 224 * shade, 255 - 160 * shade, 255 - 102 * shade, 255], 4 * i);
    });
    context.putImageData(image, 0, 0);
  };
  const [go, again] = box.querySelectorAll("button");
  const status = box.querySelector("[role=status]");
  const say = () =>
    words.status.replace("{sweeps}", chain.sweeps).replace("{found}", chain.found()).replace("{all}", chain.bars.length);
  const show = () => {
    topics.forEach((canvas, k) => paint(canvas, chain.topic(k)));
    box.querySelector(".sweeps").textContent = say();
  };
  const pause = () => {
    clearInterval(timer);
    timer = undefined;
    go.textContent = words.go;
    status.textContent = chain.sweeps ? say() : "";
  };
  const begin = (seed) => {
    chain = new Bars(seed);
    documents.forEach((canvas, d) => {
      const counts = new Array(25).fill(0);
      chain.terms[d].forEach((term) => (counts[term] += 1));
      paint(canvas, counts);
    });
    pause();
    show();
  };
  go.addEventListener("click", () => {
    if (timer) return pause();
    go.textContent = words.pause;
    timer = setInterval(() => {
      chain.sweep();
      show();
      if (chain.sweeps % 200 === 0) pause();
    }, 60);
  });
  again.addEventListener("click", () => begin(Math.floor(Math.random() * 2 ** 31)));
  box.hidden = false;
  begin(seedOfPage);
}

document.querySelectorAll(".bars-box").forEach(showBars);
