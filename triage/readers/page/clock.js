// How long a reader looks at a case. Time in which nothing was touched for longer than `idleMs`, or in which the page was
// hidden, is not reading: of such a pause only the first `idleMs` count.

export class Clock {
  #idleMs;
  #now;
  #running = false;
  #hidden = false;
  #last = 0;
  #active = 0;
  #elapsed = 0;

  constructor(idleMs, now = () => performance.now()) {
    this.#idleMs = idleMs;
    this.#now = now;
  }

  /** Count from now on. */
  start() {
    this.#settle();
    this.#running = true;
  }

  /** Count no longer: a pause that the reader asked for, or no case on the screen. */
  stop() {
    this.#settle();
    this.#running = false;
  }

  /** The reader did something. */
  touch() {
    this.#settle();
  }

  /** The page is seen, or not. */
  show(visible) {
    this.#settle();
    this.#hidden = !visible;
  }

  /** Whether the pause since the last input no longer counts. */
  get idle() {
    return this.#running && (this.#hidden || this.#now() - this.#last > this.#idleMs);
  }

  /** Milliseconds since the last `take` or `drop`, as the server wants them. */
  peek() {
    const now = this.#now();
    const gap = this.#running ? now - this.#last : 0;
    const counted = this.#hidden ? 0 : Math.min(gap, this.#idleMs);
    return { active_ms: Math.round(this.#active + counted), elapsed_ms: Math.round(this.#elapsed + gap) };
  }

  /** Begin again at nothing; what was counted is saved, or of no interest. */
  drop() {
    this.#settle();
    this.#active = 0;
    this.#elapsed = 0;
  }

  #settle() {
    const { active_ms, elapsed_ms } = this.#exact();
    this.#active = active_ms;
    this.#elapsed = elapsed_ms;
    this.#last = this.#now();
  }

  #exact() {
    const gap = this.#running ? this.#now() - this.#last : 0;
    return {
      active_ms: this.#active + (this.#hidden ? 0 : Math.min(gap, this.#idleMs)),
      elapsed_ms: this.#elapsed + gap,
    };
  }
}
