#!/usr/bin/env bash
# Draws photo.jpg and video.mp4, what the fan of the story complains with: a bottle that came half empty, and how
# it leaks.  Both are kept in the tree; this is only for making others.  Needs ImageMagick and ffmpeg.
set -euo pipefail
cd "$(dirname "$0")"
frames=$(mktemp -d)
trap 'rm -rf "$frames"' EXIT

bottle='M 205,40 L 275,40 L 275,70 L 268,78 C 268,170 335,190 335,300 L 335,560 Q 335,595 300,595
	L 180,595 Q 145,595 145,560 L 145,300 C 145,190 212,170 212,78 L 205,70 Z'

# draw LEVEL FILE: the bottle on its table, filled from LEVEL down.
draw() {
	convert -size 480x640 gradient:'#f3e9d8-#c9b08c' \
		-fill '#7a4e2b' -draw 'rectangle 0,575 480,640' \
		-fill '#dfeee6cc' -draw "path '$bottle'" \
		\( -size 480x640 xc:none -fill '#3b1408' -draw "path '$bottle'" \
			-region "480x$1+0+0" -channel A -evaluate set 0 +channel +region \) -composite \
		-fill '#c8102e' -draw 'rectangle 146,380 334,470' \
		-fill none -stroke white -strokewidth 9 -draw "path 'M 154,440 C 200,385 270,480 326,413'" -stroke none \
		-fill none -stroke '#2f4f43' -strokewidth 4 -draw "path '$bottle'" \
		-stroke '#ffffff88' -strokewidth 7 -draw "path 'M 165,310 L 165,550'" \
		-attenuate 0.25 +noise Gaussian "$2"
}

draw 340 photo.png
convert photo.png -strip -quality 85 photo.jpg
rm photo.png
for i in {0..39}; do draw $((200 + i * 7 / 2)) "$frames/$(printf %02d "$i").png"; done
ffmpeg -hide_banner -loglevel error -y -framerate 25 -i "$frames/%02d.png" -c:v libx264 -pix_fmt yuv420p -tune grain -crf 22 \
	-map_metadata -1 -fflags +bitexact -flags:v +bitexact -movflags +faststart video.mp4
