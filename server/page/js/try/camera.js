// Pictures from the camera; it is on only while it is looked through.

import { byId } from "../dom.js";
import { blobOf } from "./sketch.js";

export class Camera {
  /** @param {(picture: Blob) => void} onPicture */
  constructor(onPicture) {
    this.onPicture = onPicture;
    this.video = byId("viewfinder");
    /** @type {MediaStream | null} */
    this.stream = null;
    byId("camera-on").addEventListener("click", () => (this.stream ? this.off() : this.on()));
    byId("shutter").addEventListener("click", () => this.#take());
  }

  async on() {
    if (!navigator.mediaDevices) {
      return this.#say("The browser gives the camera only to pages from https or from this machine. On a phone, “Choose a file” opens the camera.");
    }
    this.#say("Asking for the camera…");
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    } catch (error) {
      return this.#say(`The camera cannot be used: ${error.message}`);
    }
    this.video.srcObject = this.stream;
    await this.video.play();
    this.#say("");
    this.#show();
  }

  off() {
    this.stream?.getTracks().forEach((track) => track.stop());
    this.stream = null;
    this.video.srcObject = null;
    this.#say("The camera is off.");
    this.#show();
  }

  /** Take the square in the middle, which is what is seen. */
  async #take() {
    const { videoWidth, videoHeight } = this.video;
    const side = Math.min(videoWidth, videoHeight);
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = Math.min(side, 640);
    canvas.getContext("2d").drawImage(
      this.video, (videoWidth - side) / 2, (videoHeight - side) / 2, side, side,
      0, 0, canvas.width, canvas.height,
    );
    this.onPicture(await blobOf(canvas));
  }

  #show() {
    byId("camera-on").textContent = this.stream ? "Switch off" : "Switch on";
    byId("shutter").disabled = !this.stream;
  }

  #say(text) {
    byId("camera-text").textContent = text;
    byId("camera-text").hidden = !text;
  }
}
