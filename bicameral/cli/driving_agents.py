"""Driving agents as the command line names them: what the simulator is to make of each."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from agent.correction.names import MAY_ASK_B, CorrectionName
from agent.loading import load_agent, path_record
from agent.remote import describe_remote
from bicameral.errors import ConfigError
from edge.agent_sidecar import PathAgentSpec
from edge.shipped import resolve_model
from edge.sidecar import read_sidecar
from sim.evaluation.agents import AgentSpec

_EXPERT = "agent.expert:ExpertAgent"
_TRAFFIC_EXPERT = "agent.traffic_expert:TrafficExpert"
_NETWORK = "agent.loading:load_agent"
_SERVED = "agent.remote:RemoteAgent"

#: What is compared where nothing is asked for: of networks that steer, and of those that see the
#: path.
_STEERING_MODES: tuple[CorrectionName, ...] = ("none", "paper", "second_opinion")
_PATH_MODES: tuple[CorrectionName, ...] = ("none", "fusion")
#: And which second network is asked then.
_STEERING_SECOND = "caril_b"
_PATH_SECOND = "path_b"
#: What slows path networks down among others.
_PACE = "pace_a"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentFlags:
    """Which agents a run is to drive.

    Attributes:
        agent: caril, expert, module:Class of your own DrivingAgent, or the address of an agent that
            'bicameral serve' runs, http://HOST:PORT/v1/drive/NAME.
        modes: Corrections to compare (only for caril and served agents). Without: none and fusion,
            with a noisy map route, of networks that see the path; none, paper and second_opinion of
            others.
        model: Network A: a shipped name or an .onnx file.
        second: Network B of the second opinion and of fusion, likewise; of a served agent: the
            server's name. Without: path_b of networks that see the path, caril_b of others.
        pace: Network that slows a path network down for others and lights, likewise. Without:
            pace_a among others, and else the profile of the route alone decides the speed.
        also: Further agents for comparison: NAME drives a network without correction, A+B lets A
            ask B for a second opinion.
        delay_ticks: Ticks between a picture and the control that follows from it, beyond one.
    """

    agent: str = "caril"
    modes: tuple[CorrectionName, ...] = ()
    model: str = "path_a"
    second: str | None = None
    pace: str | None = None
    also: tuple[str, ...] = ()
    delay_ticks: int = 0

    def among_others(self) -> AgentFlags:
        """Return the flags of drives among others, where path networks have a pace."""
        paced = self.pace is not None or self.agent != "caril" or not _sees_path(self.model)
        return self if paced else replace(self, pace=_PACE)

    def specs(self) -> tuple[AgentSpec, ...]:
        """Describe the agent in every mode, and those to compare it with.

        Raises:
            UserError: If there is no such agent or network, or a server lacks what is asked.
        """
        return (*self._asked(), *map(self._compared, self.also))

    def _asked(self) -> tuple[AgentSpec, ...]:
        if self.pace is not None and self.agent != "caril":
            raise ConfigError(
                f"--pace {self.pace} is for networks that this command drives itself, not for "
                f"{self.agent!r}"
            )
        if self.agent == "expert":
            return (AgentSpec(name="expert", correction="none", target=_TRAFFIC_EXPERT),)
        if "://" in self.agent:
            return self._served(self.agent)
        if self.agent == "caril":
            path = _sees_path(self.model)
            return tuple(
                self._network(self.model, mode, self._second_in(mode, path=path), self.pace)
                for mode in self.modes or _usual_modes(path=path)
            )
        if ":" not in self.agent:
            raise ConfigError(
                f"unknown agent {self.agent!r}; known: caril, expert, module:Class of your own, or "
                "http://HOST:PORT/v1/drive/NAME of a server"
            )
        name = self.agent.partition(":")[2]
        return (AgentSpec(name=name, correction="none", target=self.agent),)

    def _second_in(self, mode: CorrectionName, *, path: bool) -> str | None:
        if mode not in MAY_ASK_B:
            return None
        return self.second or (_PATH_SECOND if path else _STEERING_SECOND)

    def _served(self, url: str) -> tuple[AgentSpec, ...]:
        """Describe an agent of a server in every mode, if the server has it."""
        driver = describe_remote(url)
        specs = []
        path = "fusion" in driver.corrections
        for mode in self.modes or _usual_modes(path=path):
            second = self._second_in(mode, path=path)
            if mode == "fusion" and self.second is None and second not in driver.second:
                second = None  # it works with one network, too
            driver.require(mode, second)
            specs.append(
                AgentSpec(
                    # Another name than the model's own, so that --also can compare the two.
                    name=f"{driver.model}@{urlsplit(url).netloc}",
                    correction=mode,
                    target=_SERVED,
                    kwargs={
                        "url": url,
                        "correction": mode,
                        "second": second,
                        "delay_ticks": self.delay_ticks,
                        # Nobody shall exchange it halfway, nor between a run and its resumption.
                        "fingerprint": driver.fingerprint,
                    },
                    trained_on=driver.trained_on,
                )
            )
        return tuple(specs)

    def _compared(self, entry: str) -> AgentSpec:
        first, plus, second = entry.partition("+")
        if plus:
            return self._network(first, "second_opinion", second)
        return self._network(first, "none", None)

    def _network(
        self,
        model: str,
        correction: CorrectionName,
        second: str | None,
        pace: str | None = None,
    ) -> AgentSpec:
        """Describe the agent of one network, or of one with a second one, or one for its pace."""
        kwargs: dict[str, Any] = {
            "model": model,
            "correction": correction,
            "delay_ticks": self.delay_ticks,
            **({} if second is None else {"second": second}),
            **({} if pace is None else {"pace": {"model": pace}}),
        }
        described = read_sidecar(resolve_model(model)).agent
        record = path_record(described, correction) if isinstance(described, PathAgentSpec) else {}
        # What cannot be loaded is told now, not by every process of the run.
        with closing(load_agent(**kwargs)) as agent:
            return AgentSpec(
                name="-".join(
                    read_sidecar(resolve_model(one)).name for one in (model, pace) if one
                ),
                correction=correction,
                target=_NETWORK,
                kwargs=kwargs | record,
                trained_on=agent.trained_on,
            )


SHIPPED_AGENTS = AgentFlags()


def _sees_path(model: str) -> bool:
    return isinstance(read_sidecar(resolve_model(model)).agent, PathAgentSpec)


def _usual_modes(*, path: bool) -> tuple[CorrectionName, ...]:
    return _PATH_MODES if path else _STEERING_MODES


def expert_agent() -> AgentSpec:
    """Describe the driver that knows the route and nothing else."""
    return AgentSpec(name="expert", correction="none", target=_EXPERT)


def labelling_agent() -> AgentSpec:
    """Describe the driver that minds others, and that a network is to copy."""
    return AgentSpec(
        name="expert", correction="none", target=_TRAFFIC_EXPERT, kwargs={"within_sight": True}
    )


def collecting_agent(driver: str) -> AgentSpec:
    """Describe a network that steers while the expert says what it would have done."""
    name = Path(driver).stem
    return AgentSpec(name=name, correction="none", target=_NETWORK, kwargs={"model": driver})


def training_towns(agents: tuple[AgentSpec, ...]) -> list[str] | None:
    """Return the towns that any of the agents' networks saw, or None if that is not known."""
    towns: list[str] = []
    for spec in agents:
        if spec.target != _NETWORK:
            return None
        pace = spec.kwargs.get("pace", {}).get("model")
        for model in (spec.kwargs["model"], spec.kwargs.get("second"), pace):
            if model is not None:
                described = read_sidecar(resolve_model(model)).agent
                towns += described.towns if described is not None else ()
    return towns
