"""Studies that repeat what a paper claims: a file, a record and a figure for each paper.

`NAME.py` measures, `NAME.csv` and `NAME.svg` are what came of its full run. The verdicts stand in
`docs/studies.md`.
"""
