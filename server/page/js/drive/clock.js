// What the time of the player is: that of its video, or of the wall where there is none.

export class Clock {
  #timeS = 0;
  #playing = false;
  #rate = 1;
  #request = 0;
  #beforeMs = 0;

  /**
   * @param {number} endS
   * @param {HTMLVideoElement | null} video
   * @param {() => void} onChange Called for every shown moment, and when it begins or stops.
   */
  constructor(endS, video, onChange) {
    this.endS = endS;
    this.video = video;
    this.onChange = onChange;
    for (const kind of ["play", "pause", "ended", "seeked", "timeupdate"]) video?.addEventListener(kind, () => this.#follow());
  }

  get timeS() {
    return Math.min(this.endS, this.#timeS);
  }

  get playing() {
    return this.#playing;
  }

  /** @param {number} rate 1 is real speed. */
  set rate(rate) {
    this.#rate = rate;
    if (this.video) this.video.playbackRate = rate;
  }

  async play() {
    if (this.timeS >= this.endS - 0.1) this.seek(0);
    if (this.video) return this.video.play();
    this.#playing = true;
    this.#beforeMs = performance.now();
    this.#next();
    this.onChange();
  }

  pause() {
    this.video?.pause();
    this.#playing = false;
    cancelAnimationFrame(this.#request);
    this.onChange();
  }

  /** @param {number} timeS */
  seek(timeS) {
    this.#timeS = Math.max(0, Math.min(this.endS, timeS));
    if (this.video) this.video.currentTime = this.#timeS;
    this.onChange();
  }

  #follow() {
    if (!this.video.seeking) this.#timeS = this.video.currentTime;
    this.#playing = !this.video.paused && !this.video.ended;
    this.#next();
    this.onChange();
  }

  #next() {
    cancelAnimationFrame(this.#request);
    if (this.#playing) this.#request = requestAnimationFrame((nowMs) => this.#frame(nowMs));
  }

  #frame(nowMs) {
    if (this.video) {
      this.#timeS = this.video.currentTime;
    } else {
      this.#timeS += (this.#rate * (nowMs - this.#beforeMs)) / 1e3;
      this.#beforeMs = nowMs;
      if (this.#timeS >= this.endS) return this.pause();
    }
    this.#next();
    this.onChange();
  }
}
