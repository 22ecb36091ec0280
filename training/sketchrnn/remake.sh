#!/bin/sh
# Makes models/sketchrnn again: sh training/sketchrnn/remake.sh PATH/quickdraw
# A model of the pen's movements and one of pictures are fitted apart, then briefly together. Continue a stopped fit by
# adding --resume to its command.
set -eu
data=$1

fit() {
	python -m training sketchrnn --data "$data" "$@"
}

fit --run runs/sketchrnn-first --no-export
fit --start-from runs/sketchrnn-first --run runs/sketchrnn-strokes --no-export \
	--epochs 8 --learning-rate 7e-4 --warm-up 0.03 --average 0.998 --seed 1 \
	--rotation 0.15 --stretch 0.15 --shear 0.12 --flip 0.2 --drop 0.12 --jitter 0.01
fit --arch residual_cnn --run runs/sketchrnn-pictures --no-export \
	--epochs 10 --learning-rate 2.5e-3 --average 0.998 --dropout 0.2 --seed 2 \
	--rotation 0.15 --stretch 0.15 --shear 0.12 --flip 0.2 --drop 0.12 --jitter 0.01
fit --arch fusion --start-from runs/sketchrnn-strokes --start-from runs/sketchrnn-pictures --run runs/sketchrnn-fusion \
	--epochs 3 --learning-rate 4e-4 --average 0.998 --dropout 0.35 --flip 0.2 --seed 3
