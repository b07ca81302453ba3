#!/usr/bin/env bash
# set_up_evaluators.sh SOURCES ENVIRONMENT UV: makes an environment in which the official evaluators run.
#
# SOURCES is a folder that holds the checkouts scenario_runner, leaderboard and carla (of which only
# PythonAPI/carla/agents is read), or the address under which they can be cloned, such as
# https://github.com/carla-simulator; then they are cloned into ENVIRONMENT/sources.
# ENVIRONMENT is an existing virtual environment; UV the program that installs into it.
set -euo pipefail
sources=$1
environment=$2
uv=$3

clone() { # repository, tag or branch, folder, what to check out of it (everything if empty)
    local folder=$environment/sources/$3
    if [ -d "$folder/.git" ]; then return; fi
    echo "cloning $sources/$1 ($2)"
    if [ -z "$4" ]; then
        git -c advice.detachedHead=false clone --quiet --depth 1 --branch "$2" "$sources/$1" "$folder"
    else
        git -c advice.detachedHead=false clone --quiet --depth 1 --branch "$2" --filter=blob:none --sparse "$sources/$1" "$folder"
        git -C "$folder" sparse-checkout set "$4"
    fi
}

case $sources in
*://*)
    mkdir -p "$environment/sources"
    clone scenario_runner v0.9.16 scenario_runner ""
    clone leaderboard leaderboard-2.1 leaderboard ""
    clone scenario_runner leaderboard-2.1 scenario_runner_leaderboard ""
    clone carla 0.9.16 carla PythonAPI/carla
    folder=$environment/sources
    ;;
*)
    folder=$sources
    if [ -z "$sources" ] || [ ! -f "$folder/scenario_runner/requirements.txt" ]; then
        echo "SOURCES has to name a folder with scenario_runner, leaderboard and carla, or the address of their repositories;" \
            "it is '$sources' (see docs/official-evaluators.md)" >&2
        exit 2
    fi
    ;;
esac

# The leaderboard pins an OpenCV that exists for no Python which has a carla client of 0.9.16;
# setuptools still brings the modules pkg_resources and distutils.
required=$(mktemp)
trap 'rm -f "$required"' EXIT
grep -v '^opencv-python' "$folder/leaderboard/requirements.txt" > "$required"
VIRTUAL_ENV=$environment "$uv" pip install --quiet -r "$folder/scenario_runner/requirements.txt" -r "$required" \
    carla==0.9.16 "setuptools<81"
ln -sfn "$(cd "$folder" && pwd)" "$environment/checkouts"
