"""What several tasks measure by: image quality and distances between sets of images."""
