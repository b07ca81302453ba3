#!/usr/bin/env bash
# set_up_evaluators.sh SOURCES ENVIRONMENT UV [BENCH2DRIVE]: makes an environment in which the official evaluators run.
#
# SOURCES is a folder that holds the checkouts scenario_runner, leaderboard and carla (of which only
# PythonAPI/carla/agents is read), or the address under which they can be cloned, such as
# https://github.com/carla-simulator; then they are cloned into ENVIRONMENT/sources.
# ENVIRONMENT is an existing virtual environment; UV the program that installs into it. BENCH2DRIVE is the
# address under which Bench2Drive can be cloned, where it is wanted; a folder SOURCES may hold a checkout of it.
set -euo pipefail
sources=$1
environment=$2
uv=$3
bench2drive=${4:-}

clone() { # repository, tag or branch, folder, what to check out of it (everything if empty), from where
    local from=${5:-$sources}
    local folder=$environment/sources/$3
    if [ -d "$folder/.git" ]; then return; fi
    echo "cloning $from/$1 ($2)"
    if [ -z "$4" ]; then
        git -c advice.detachedHead=false clone --quiet --depth 1 --branch "$2" "$from/$1" "$folder"
    else
        git -c advice.detachedHead=false clone --quiet --depth 1 --branch "$2" --filter=blob:none --sparse "$from/$1" "$folder"
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
    if [ -n "$bench2drive" ]; then clone Bench2Drive 0.0.4 Bench2Drive "" "$bench2drive"; fi
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

# They pin an OpenCV that exists for no Python which has a carla client of 0.9.16, and a NumPy older than
# what the shipped driver needs; setuptools still brings the modules pkg_resources and distutils.
required=$(mktemp)
trap 'rm -f "$required"' EXIT
grep -hv '^opencv-python\|^numpy' "$folder/scenario_runner/requirements.txt" "$folder/leaderboard/requirements.txt" | sort -u > "$required"
VIRTUAL_ENV=$environment "$uv" pip install --quiet -r "$required" carla==0.9.16 "setuptools<81" -e .
ln -sfn "$(cd "$folder" && pwd)" "$environment/checkouts"
